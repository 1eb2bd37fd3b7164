"""A browser as far as our pages need one: it keeps cookies and sends forms as pages have them."""

import http.cookiejar
import re
import time
import urllib.error
import urllib.parse
import urllib.request

from deploy.local.totp import totp


class Browser:
    """Keeps cookies and sends forms as their pages have them."""

    def __init__(self, url):
        self.url = url
        cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
        self.opener = urllib.request.build_opener(cookies)

    def get(self, path):
        """(status, where it ended, text)."""
        return self._open(self.url + path)

    def send(self, path, **fields):
        page = self.get(path)[2]
        token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page).group(1)
        form = urllib.parse.urlencode({"csrfmiddlewaretoken": token, **fields}).encode()
        return self._open(self.url + path, form)

    def _open(self, url, form=None):
        try:
            with self.opener.open(url, form, timeout=30) as answer:
                where = urllib.parse.urlsplit(answer.url).path
                return answer.status, where, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, url.removeprefix(self.url), error.read().decode()


_used = {}


def new_code(staff):
    """A code that was not used before: each works once, and for half a minute more than its own."""
    secret, at = staff["totp_secret"], time.time()
    if _used.get(secret) == at // 30:
        time.sleep(30 - at % 30 + 0.1)
        at = time.time()
    _used[secret] = at // 30
    return totp(secret, at)
