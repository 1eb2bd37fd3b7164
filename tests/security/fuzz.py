"""python -m tests.security.fuzz: schemathesis against a stack of our own, as each role and a key.

An outside judge of the contract: what the OpenAPI document promises, asked thousands of times with
data that fits it and data that does not. Exits 1 if it has anything to say.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from deploy.local.demo import get_token
from deploy.local.prepared import prepare
from deploy.local.stack import ROOT, Stack

EXAMPLES = "25"
TOKENS = """
import json, sys
from tenants.models import Plan, Role, Tenant
from tests.factories import ApiSessionFactory
Plan.objects.update(
    submits_per_minute=10**6, reads_per_minute=10**6, manages_per_minute=10**6, max_waiting=10**6
)
tenant = Tenant.objects.get(slug="demo")
tokens = {role: str(ApiSessionFactory(tenant=tenant, role=role).access) for role in Role.values}
print(json.dumps(tokens))
"""


def main() -> int:
    home = Path(tempfile.mkdtemp(prefix="guidepost-fuzz-"))
    home.chmod(0o711)  # PostgreSQL does not run as root and has to pass through
    prepare(home)
    stack = Stack(home, settings={"INVITATION_RATE": "1000000/m"}, durable=False)
    stack.start()
    try:
        tokens = {"key": get_token(stack.url, stack.client), **tokens_of_people(stack)}
        return max(run(stack.url, role, token) for role, token in tokens.items())
    finally:
        stack.stop()


def tokens_of_people(stack: Stack) -> dict[str, str]:
    shell = [sys.executable, "manage.py", "shell", "-v", "0", "-c", TOKENS]
    env = {**os.environ, **stack.env}
    done = subprocess.run(shell, cwd=ROOT, env=env, check=True, capture_output=True, text=True)
    tokens: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return tokens


def run(url: str, role: str, token: str) -> int:
    print(f"--- as {role}", flush=True)
    judge = [str(Path(sys.executable).parent / "schemathesis"), "run", f"{url}/openapi.json"]
    options = ["--checks", "all", "--continue-on-failure", "--max-examples", EXAMPLES]
    options += ["--exclude-operation-id", "getJobEvents"]  # it goes on as long as its job
    header = ["--header", f"Authorization: Bearer {token}"]
    return subprocess.call([*judge, *options, *header], cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main())
