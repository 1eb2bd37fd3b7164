"""A TCP proxy that tests put before a server to take it away: refuse, hang, let pass again."""

import contextlib
import selectors
import socket
import threading
from urllib.parse import urlsplit, urlunsplit


class Proxy:
    """Listens on a free port of 127.0.0.1 and passes bytes on to `url`'s host and port."""

    def __init__(self, url: str):
        parts = urlsplit(url)
        self._target = (parts.hostname, parts.port)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._passing = threading.Event()
        self._passing.set()
        self._listener = self._listen(0)
        host = f"{parts.netloc.rpartition('@')[0]}@" if "@" in parts.netloc else ""
        self.port = self._listener.getsockname()[1]
        self.url = urlunsplit(parts._replace(netloc=f"{host}127.0.0.1:{self.port}"))

    def refuse(self):
        """As if the server were stopped: connections end, new ones are refused."""
        self._listener.shutdown(socket.SHUT_RDWR)  # close() alone leaves a waiting accept() at it
        self._listener.close()
        with self._lock:
            for end in self._open:
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def hang(self):
        """As if the server were frozen: connections stay, nothing moves."""
        self._passing.clear()

    def restore(self):
        self._passing.set()
        if self._listener.fileno() == -1:
            self._listener = self._listen(self.port)

    def _listen(self, port):
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", port))
        listener.listen(64)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return listener

    def _accept(self, listener):
        while True:
            try:
                near, _ = listener.accept()
                far = socket.create_connection(self._target)
            except OSError:
                return
            threading.Thread(target=self._pass, args=(near, far), daemon=True).start()

    def _pass(self, near, far):
        with self._lock:
            self._open |= {near, far}
        with selectors.DefaultSelector() as selector:
            selector.register(near, selectors.EVENT_READ, far)
            selector.register(far, selectors.EVENT_READ, near)
            with contextlib.suppress(OSError):
                self._copy(selector)
        with self._lock:
            self._open -= {near, far}
        near.close()
        far.close()

    def _copy(self, selector):
        while True:
            for key, _ in selector.select():
                data = key.fileobj.recv(65536)
                self._passing.wait()
                if not data:
                    return
                key.data.sendall(data)
