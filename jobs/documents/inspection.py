"""What a file is, and whether it may come in: decided at the door, in the web process.

By what is in it, never by its name or by what its sender says; where these contradict what is in
it, it is refused, for one of the two is a mistake or a trick. Nothing is parsed here by a parser of
documents; what XML says is heard from its parser, which builds nothing. Everything takes time and
memory linear in the file, and what is unpacked has a budget.

Sources: ISO 32000-1 section 7.3.8 (streams) and 7.5 (file structure); PKWARE APPNOTE 4.3 (ZIP);
ECMA-376 part 2 (packages).
"""

import codecs
import re
import stat
import zipfile
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import PurePosixPath
from xml.parsers.expat import ExpatError, ParserCreate

from jobs.documents.formats import MAX_PAGES, Format
from jobs.errors import UnsupportedOrUnsafeFile

MAX_UNPACKED = 64_000_000  # bytes of all streams of a PDF
MAX_ENTRIES = 2_000
MAX_DIRECTORY = 512_000  # bytes of a ZIP's directory
MAX_ZIP_UNPACKED = 30_000_000
MAX_RATIO = 100  # unpacked to packed, of an entry beyond the first kilobytes
MAX_PROLOG = 65_536  # bytes of XML before its first element
MAX_RELATIONSHIPS = 2_000_000  # bytes of the parts that say what belongs to a document
FIRST_PIECE, PIECE = 256, 65_536  # bytes that are unpacked at a time
SIGNATURE_WINDOW = 1024  # readers look for a PDF's signature so far into a file

EXTENSIONS = {
    ".pdf": Format.PDF,
    ".docx": Format.DOCX,
    ".html": Format.HTML,
    ".htm": Format.HTML,
    ".md": Format.MARKDOWN,
    ".markdown": Format.MARKDOWN,
    ".txt": Format.TEXT,
}
CLAIMS = {kind.value: kind for kind in Format} | {
    "application/xhtml+xml": Format.HTML,
    "text/x-markdown": Format.MARKDOWN,
}
PLAIN = {Format.MARKDOWN, Format.TEXT}
NAMES = {
    Format.PDF: "a PDF",
    Format.DOCX: "a Word document (DOCX)",
    Format.HTML: "a page of HTML",
    Format.MARKDOWN: "Markdown",
    Format.TEXT: "plain text",
}
RESAVE = "Open it in Word, save it anew, and send that."
ACCEPTED = "Send a PDF, a Word document (DOCX), HTML, Markdown or plain text."


def inspect(content: bytes, *, name: str = "", declared: str = "") -> Format:
    """What the file is. Raises UnsupportedOrUnsafeFile, saying what was found and what to do.

    name, declared  what its sender calls it; they may be empty or say nothing ("octet-stream")
    """
    if not content.strip():
        raise UnsupportedOrUnsafeFile("The file is empty. Send the document itself.")
    claims = _claims(name, declared)
    if content.startswith(b"%PDF-"):
        kind = Format.PDF
        _refuse_mismatch(kind, claims)
        inspect_pdf(content)
    elif content.startswith(b"PK"):
        kind = Format.DOCX
        _refuse_mismatch(kind, claims)
        inspect_docx(content)
    else:
        kind = _kind_of_text(decode(content), claims)
        _refuse_mismatch(kind, claims)
    return kind


def _claims(name: str, declared: str) -> set[Format]:
    declared = declared.partition(";")[0].strip().lower()
    known = [CLAIMS.get(declared), EXTENSIONS.get(PurePosixPath(name.lower()).suffix)]
    return {kind for kind in known if kind}


def _refuse_mismatch(kind: Format, claims: set[Format]) -> None:
    for claim in claims:
        if claim != kind and not {claim, kind} <= PLAIN:
            raise UnsupportedOrUnsafeFile(
                f"The file is called {NAMES[claim]}, but what is in it is {NAMES[kind]}."
                " Send it under its own name and media type."
            )


# --- Text -----------------------------------------------------------------------------------

_BOMS = [
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark begins it
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
]
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f\x7f]")
_KNOWN_MAGIC = {
    b"\xd0\xcf\x11\xe0": "an old Office file, or a protected one. Save it as DOCX without a"
    " password, and send that",
    b"{\\rtf": "RTF. Save it as DOCX or PDF, and send that",
    b"\x89PNG": "an image. Send the text, or a PDF with text recognition (OCR)",
    b"\xff\xd8\xff": "an image. Send the text, or a PDF with text recognition (OCR)",
    b"GIF8": "an image. Send the text, or a PDF with text recognition (OCR)",
    b"II*\x00": "an image. Send the text, or a PDF with text recognition (OCR)",
    b"MM\x00*": "an image. Send the text, or a PDF with text recognition (OCR)",
    b"\x1f\x8b": "a compressed file. Unpack it, and send the document",
    b"BZh": "a compressed file. Unpack it, and send the document",
    b"7z\xbc\xaf": "an archive. Unpack it, and send the document",
    b"Rar!": "an archive. Unpack it, and send the document",
    b"MZ": "a program",
    b"\x7fELF": "a program",
}
_HTML_START = re.compile(r"\s*+(?:<\?xml[^>]{0,200}\?>\s*+)?(?:<!--(?:(?!-->).){0,2000}-->\s*+)?"
    r"<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL)  # fmt: skip
_ANY_TAG = re.compile(r"<(?:p|div|h[1-6]|ul|ol|table|section|article|main|span|br)\b", re.I)


def decode(content: bytes) -> str:
    """The characters, by the byte-order mark or as UTF-8. Raises UnsupportedOrUnsafeFile."""
    for magic, what in _KNOWN_MAGIC.items():
        if content.startswith(magic):
            raise UnsupportedOrUnsafeFile(f"The file is {what}. {ACCEPTED}")
    mark, encoding = next(
        ((mark, name) for mark, name in _BOMS if content.startswith(mark)), (b"", "utf-8")
    )
    try:
        text = content[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise UnsupportedOrUnsafeFile(
            f"The file is neither a document that we know nor text in UTF-8: bad byte at offset"
            f" {error.start + len(mark):,}. Save text as UTF-8. {ACCEPTED}"
        ) from None
    if found := _CONTROL.search(text):
        raise UnsupportedOrUnsafeFile(
            f"The file is no text: it holds the control character U+{ord(found[0]):04X}. {ACCEPTED}"
        )
    if not text.strip():
        raise UnsupportedOrUnsafeFile("The file holds only white space. Send the document itself.")
    return text


def _kind_of_text(text: str, claims: set[Format]) -> Format:
    if "%PDF-" in text[:SIGNATURE_WINDOW]:
        raise UnsupportedOrUnsafeFile(
            "The file has a PDF's signature, but does not begin with it: programs would differ on"
            " what it is. Open it in a PDF reader, save it anew, and send that."
        )
    if _HTML_START.match(text):
        return Format.HTML
    if Format.HTML in claims and _ANY_TAG.search(text[:65_536]):
        return Format.HTML
    if text.lstrip().startswith("<?xml"):
        raise UnsupportedOrUnsafeFile(f"The file is XML of a kind that we do not know. {ACCEPTED}")
    return Format.MARKDOWN if Format.MARKDOWN in claims else Format.TEXT


# --- PDF --------------------------------------------------------------------------------------


def _name(*names: bytes) -> bytes:
    """A pattern of these names. Each letter may be written as its code (ISO 32000-1, 7.3.5): to
    decode what stands in a file first would take a step of Python for each code in it."""
    spelled = (b"".join(b"(?:%c|#(?i:%02x))" % (char, char) for char in name) for name in names)
    return b"/(?:%s)" % b"|".join(spelled)


_STREAM = re.compile(rb"stream\r?\n")
# Of a list as much as is looked at, closed or not: where it has to be closed, each beginning is
# looked through in vain.
_FILTER = re.compile(_name(b"Filter", b"F") + rb"\s*(\[[^\]]{0,300}|/[A-Za-z0-9#]{1,120})")
_FLATE = _name(b"FlateDecode", b"Fl")
_OTHER = _name(b"LZWDecode", b"LZW", b"RunLengthDecode", b"RL", b"JBIG2Decode")
_PACKING = re.compile(rb"(?:(%s)|%s)\b" % (_FLATE, _OTHER))
_IMAGE = re.compile(rb"/Subtype\s*/Image\b")
_PAGE = re.compile(rb"/Type\s*/Page\b")
_COUNT = re.compile(rb"/Count\s+(\d{1,12})")
_ENCRYPT = re.compile(rb"/Encrypt\s*(?:\d|<<)")
MAX_DICTIONARY = 4_096  # bytes of a stream's dictionary that are looked at
MAX_STREAMS = 50_000
MAX_COUNTS = 100_000  # of pages, or of entries in a table of contents
DAMAGED = 1_000_000  # bytes in which it is not known where a stream ends
OVERLAP = 9  # bytes of a piece that are searched with the next: no page fits in, to count twice


def inspect_pdf(content: bytes) -> None:
    """Whole, not protected, not more than it seems. Raises UnsupportedOrUnsafeFile."""
    end = content.rfind(b"%%EOF")
    if end < 0 or b"startxref" not in content[max(0, end - 1024) : end]:
        raise UnsupportedOrUnsafeFile(
            "The PDF is cut off: its end is missing. Send the whole file."
        )
    if b"PK\x05\x06" in content[end:] or b"PK\x03\x04" in content[:SIGNATURE_WINDOW]:
        raise UnsupportedOrUnsafeFile(
            "The file is a PDF and a ZIP archive at once. Open it in a PDF reader, save it anew,"
            " and send that."
        )
    if _ENCRYPT.search(content):
        raise UnsupportedOrUnsafeFile(
            "The PDF is protected by a password or by permissions. Save it without protection, for"
            " example by printing it to a new PDF, and send that."
        )
    pages, budget, packed = _Pages(), _Budget(len(content)), memoryview(content)
    pages.look_at(content)
    for start, dictionary in _streams(content):
        packing = _packing_of(dictionary)
        if len(packing) > 1:
            raise UnsupportedOrUnsafeFile(
                "A stream of the PDF is packed several times over, which no ordinary PDF needs."
                " Print it to a new PDF, and send that."
            )
        if packing and packing[0] and not _IMAGE.search(dictionary):
            _unpack(packed[start:], budget, pages)


class _Pages:
    """Counts pages in whatever is looked at: their objects, and what the tree announces."""

    def __init__(self) -> None:
        self._objects = self._counts = 0

    def look_at(self, data: bytes) -> None:
        self._objects += len(_PAGE.findall(data))
        counts = _COUNT.findall(data)
        self._counts += len(counts)
        if self._counts > MAX_COUNTS:
            raise _extraordinary(f"counts pages more than {MAX_COUNTS:,} times")
        announced = max(map(int, counts), default=0)
        if max(self._objects, announced) > MAX_PAGES:
            raise UnsupportedOrUnsafeFile(
                f"The PDF has {max(self._objects, announced):,} pages; it may have {MAX_PAGES:,}."
                " Send it in parts."
            )


class _Budget:
    """What the streams of a PDF may give unpacked, together, and take packed: no more than there
    is, since none lies in another. Raises UnsupportedOrUnsafeFile."""

    def __init__(self, size: int) -> None:
        self._left, self._untaken = MAX_UNPACKED, size + DAMAGED

    def take(self, size: int) -> None:
        self._untaken -= size
        if self._untaken < 0:
            raise _extraordinary("holds streams within others")
        self.give(size)

    def give(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise UnsupportedOrUnsafeFile(
                f"The PDF unpacks to more than {MAX_UNPACKED:,} bytes of text. Send it in"
                " parts, or print it to a new PDF and send that."
            )


def _extraordinary(what: str) -> UnsupportedOrUnsafeFile:
    return UnsupportedOrUnsafeFile(
        f"The PDF {what}, which no ordinary PDF does. Print it to a new PDF, and send that."
    )


def _streams(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Where the data of each stream begins, and the dictionary before it. No byte is looked at
    twice."""
    since = 0
    for number, match in enumerate(_STREAM.finditer(content)):  # and where each ends
        if number >= 2 * MAX_STREAMS:
            raise _extraordinary(f"has more than {MAX_STREAMS:,} streams")
        before = content[max(since, match.start() - MAX_DICTIONARY) : match.start()]
        since = match.end()
        if not before.endswith(b"end"):
            yield match.end(), before[max(before.rfind(b" obj"), 0) :]


def _packing_of(dictionary: bytes) -> list[bytes]:
    """How the stream is packed, from the outside in; an empty name where zlib does not."""
    found = _FILTER.search(dictionary)
    return _PACKING.findall(found[1]) if found else []


def _unpack(packed: memoryview, budget: _Budget, pages: _Pages) -> None:
    """Looks at a stream. A stream may be tiny, so a little is taken first, and ever more."""
    inflate, at, size, before = zlib.decompressobj(), 0, FIRST_PIECE, b""
    while not inflate.eof and (inflate.unconsumed_tail or at < len(packed)):
        piece: bytes | memoryview = inflate.unconsumed_tail
        if not piece:
            piece = packed[at : at + size]
            at += len(piece)
            size = min(2 * size, PIECE)
            budget.take(len(piece))
        try:
            unpacked = inflate.decompress(piece, PIECE)
        except zlib.error:  # damaged: whoever reads it sees no more of it either
            return
        budget.give(len(unpacked))
        if b"/Page" in unpacked or b"/Count" in unpacked:
            pages.look_at(before + unpacked)
        before = unpacked[-OVERLAP:]
    budget.take(-len(inflate.unused_data))


# --- DOCX -------------------------------------------------------------------------------------

_MAIN_PART = "word/document.xml"
_REMOTE = ("attachedTemplate", "oleObject", "subDocument", "frame", "aFChunk", "package")
_KINDS_OF_PARTS = "[Content_Types].xml"


def inspect_docx(content: bytes) -> None:
    """A package with a Word document in it, and nothing that acts. Raises
    UnsupportedOrUnsafeFile."""
    _inspect_directory(content)
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            entries = archive.infolist()
            _inspect_entries(entries, len(content))
            for entry in entries:
                if entry.filename.endswith((".xml", ".rels")):
                    _inspect_xml(archive, entry.filename)
    # NotImplementedError: a kind of ZIP that the standard library does not read.
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError):
        raise _damaged() from None


def _damaged() -> UnsupportedOrUnsafeFile:
    return UnsupportedOrUnsafeFile(
        f"The file begins like a Word document (a ZIP archive), but is cut off or damaged. {RESAVE}"
    )


def _inspect_directory(content: bytes) -> None:
    """Before any of it is read: a directory may be as large as the file."""
    end = content.rfind(b"PK\x05\x06", max(0, len(content) - 65_557))
    if end < 0 or len(content) < end + 22:
        raise _damaged()
    field = content[end : end + 22]
    entries, size = int.from_bytes(field[10:12], "little"), int.from_bytes(field[12:16], "little")
    at, comment = int.from_bytes(field[16:20], "little"), int.from_bytes(field[20:22], "little")
    if entries > MAX_ENTRIES or size > MAX_DIRECTORY:
        raise UnsupportedOrUnsafeFile(
            f"The archive lists more than {MAX_ENTRIES:,} files, which no Word document has."
            f" {RESAVE}"
        )
    # The record of ZIP64, which no file of this size needs, would be believed instead of this one.
    has_other = content[max(0, end - 20) :].startswith(b"PK\6\7")
    is_all = at + size == end and end + 22 + comment == len(content)
    if has_other or not is_all or not content.startswith(b"PK\3\4"):
        raise UnsupportedOrUnsafeFile(
            f"Something stands before, within or after the archive that is no part of it. {RESAVE}"
        )


def _inspect_entries(entries: list[zipfile.ZipInfo], size: int) -> None:
    names = [entry.filename for entry in entries]
    if _MAIN_PART not in names or _KINDS_OF_PARTS not in names:
        raise UnsupportedOrUnsafeFile(
            f"The file is a ZIP archive, but no Word document: it has no {_MAIN_PART}. {ACCEPTED}"
        )
    if len(entries) > MAX_ENTRIES:
        raise UnsupportedOrUnsafeFile(
            f"The archive holds more than {MAX_ENTRIES:,} files. {RESAVE}"
        )
    if len({name.casefold() for name in names}) < len(names):
        raise UnsupportedOrUnsafeFile(f"The archive holds two files of one name. {RESAVE}")
    if sum(entry.file_size for entry in entries) > MAX_ZIP_UNPACKED:
        raise UnsupportedOrUnsafeFile(
            f"The document unpacks to more than {MAX_ZIP_UNPACKED:,} bytes. Take large pictures"
            " out, or send it in parts."
        )
    # Or what little there is would be unpacked as often as there are entries. Not every zipfile of
    # the versions of Python that we run on sees to that.
    if sum(entry.compress_size for entry in entries) > size:
        raise UnsupportedOrUnsafeFile(f"Files of the archive lie in one another. {RESAVE}")
    if sum(entry.file_size for entry in entries if _is_read(entry.filename)) > MAX_RELATIONSHIPS:
        raise UnsupportedOrUnsafeFile(
            f"The document refers to more than any ordinary one. {RESAVE}"
        )
    for entry in entries:
        _inspect_entry(entry)


def _inspect_entry(entry: zipfile.ZipInfo) -> None:
    name, mode = entry.filename, entry.external_attr >> 16
    parts = name.split("/")
    if name.startswith("/") or "\\" in name or ":" in name or {"..", "."}.intersection(parts):
        raise UnsupportedOrUnsafeFile(
            f"The archive holds a file whose name leads outside of it. {RESAVE}"
        )
    if mode and stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise UnsupportedOrUnsafeFile(
            f"The archive holds a link or a device instead of a file. {RESAVE}"
        )
    # ECMA-376 part 2: no others. And zipfile bounds what it unpacks for these alone.
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise UnsupportedOrUnsafeFile(
            f"A part of the document is packed as Word packs none. {RESAVE}"
        )
    if entry.flag_bits & 0x1:
        raise UnsupportedOrUnsafeFile("The document is protected. Save it without a password.")
    if entry.file_size > MAX_RATIO * max(entry.compress_size, 4_096):
        raise UnsupportedOrUnsafeFile(
            f"A part of the document unpacks to more than {MAX_RATIO} times its size. {RESAVE}"
        )
    if name.lower().endswith(("vbaproject.bin", "vbadata.xml")):
        raise UnsupportedOrUnsafeFile(
            "The document holds macros. Save it as DOCX without macros, and send that."
        )


def _is_read(name: str) -> bool:
    """Whether the part says what belongs to the document: of others only the beginning is read."""
    return name.endswith(".rels") or name == _KINDS_OF_PARTS


def _inspect_xml(archive: zipfile.ZipFile, name: str) -> None:
    markup, whole, size = _Markup(name), _is_read(name), FIRST_PIECE
    with archive.open(name) as part:
        while (whole or not markup.begun) and (piece := part.read(size)):
            markup.feed(piece)
            size = min(2 * size, PIECE)
    markup.finish()


class _Markup:
    """Refuses what no word processor writes, as the parser of XML comes upon it: whoever searched
    for it could be led past it.

    Names are taken as they are written. With namespaces the parser would give to the name of each
    element the whole address of its namespace, which may be as long as the part.
    """

    def __init__(self, name: str) -> None:
        self.begun = False  # has its first element
        self._name, self._whole, self._fed = name, _is_read(name), 0
        self._parser = ParserCreate("utf-8")
        self._parser.XmlDeclHandler = self._declaration
        self._parser.StartDoctypeDeclHandler = self._doctype
        self._parser.StartElementHandler = self._root

    def feed(self, piece: bytes) -> None:
        """Raises UnsupportedOrUnsafeFile."""
        if not self._fed and b"\x00" in piece[:200]:
            raise self._not_utf_8()
        self._fed += len(piece)
        self._parse(piece)
        if not self.begun and self._fed > MAX_PROLOG:
            raise self._no_xml()

    def finish(self) -> None:
        """Raises UnsupportedOrUnsafeFile where a part ends too early that was to be read whole."""
        if self._whole or not self.begun:
            self._parse(b"", last=True)

    def _parse(self, piece: bytes, *, last: bool = False) -> None:
        try:
            self._parser.Parse(piece, last)
        except ExpatError:
            # What comes later in a part that is not read on is its reader's to judge.
            if self._whole or not self.begun:
                raise self._no_xml() from None

    def _declaration(self, version: str, encoding: str | None, standalone: int) -> None:
        if (encoding or "utf-8").lower() not in ("utf-8", "us-ascii"):
            raise self._not_utf_8()

    def _doctype(self, *_: object) -> None:
        raise UnsupportedOrUnsafeFile(f"A part of the document declares a DTD. {RESAVE}")

    def _root(self, tag: str, attributes: dict[str, str]) -> None:
        self.begun = True
        self._parser.StartElementHandler = self._element if self._whole else None

    def _element(self, tag: str, attributes: dict[str, str]) -> None:
        """Links to pages are a reader's business; what a program would fetch by itself is not."""
        if self._name == _KINDS_OF_PARTS:
            if "macroenabled" in attributes.get("ContentType", "").lower():
                raise UnsupportedOrUnsafeFile(
                    "The document is of a kind with macros. Save it as DOCX, and send that."
                )
            return
        kind = attributes.get("Type", "").rpartition("/")[2]
        if kind in _REMOTE and attributes.get("TargetMode", "").lower() == "external":
            raise UnsupportedOrUnsafeFile(
                f"The document loads a part of itself from elsewhere ({kind}). Open it in Word,"
                " break that link, and send the result."
            )

    def _not_utf_8(self) -> UnsupportedOrUnsafeFile:
        return UnsupportedOrUnsafeFile(f"{self._name} is not in UTF-8. {RESAVE}")

    def _no_xml(self) -> UnsupportedOrUnsafeFile:
        return UnsupportedOrUnsafeFile(f"{self._name} is no XML that Word writes. {RESAVE}")
