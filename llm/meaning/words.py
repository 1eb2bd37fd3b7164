"""Words of two texts compared: stems, groups of words that guidelines exchange, names of roles.

All of it errs towards "the same": a synonym that is missing here flags a faithful item, one that
is too generous hides only one word, and numbers, negations and conditions are compared elsewhere.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable

from llm.lazily import kept
from llm.markup import plain

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_ASCII_WORD = re.compile(r"[a-z]+(?:'[a-z]+)*")  # the same, of lower-case ASCII
_UNSPACED = re.compile(r"[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]")
_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—―−", "-") | dict.fromkeys("‘’`´", "'"))
_INVISIBLE = re.compile(r"[\u00ad\u200b-\u200f\u2060\ufeff]")

_SUFFIX_LIST = """
    ifications ification ifying ifies ified ify izations ization isations isation ations ation
    itions ition ments ment ness ances ance ences ence ities ity ings ing ions ion ally als al
    ively ive ables able ibles ible izes ize ises ise ers er ors or ants ant ents ent eds ed ies
    es en ic ly s y e
"""
_SUFFIXES = _SUFFIX_LIST.split()
_MIN_STEM = 3
_REMEMBERED = 10_000  # words, of any one function
_MAX_REMEMBERED = 32  # letters of a word
_IRREGULAR_FORMS = """
    written:write wrote:write kept:keep held:hold given:give gave:give taken:take took:take
    left:leave sent:send paid:pay worn:wear told:tell made:make done:do drawn:draw chosen:choose
    hidden:hide driven:drive ran:run met:meet lost:lose shown:show seen:see gone:go known:know
    found:find sold:sell bought:buy brought:bring stolen:steal spoken:speak broken:break
    worked:work begun:begin began:begin dying:die lying:lie people:person men:man women:woman
    children:child feet:foot teeth:tooth said:say hung:hang built:build spent:spend
    understood:understand withdrawn:withdraw payslips:payslip whose:who lent:lend loans:loan
    drunk:drink fed:feed hottest:hot repaid:repay prepaid:prepay unpaid:pay fallen:fall fell:fall
    rang:ring rung:ring rose:rise risen:rise sank:sink sunk:sink cut:cut laid:lay led:lead
    bled:bleed bitten:bite torn:tear grown:grow grew:grow got:get gotten:get became:become
    came:come felt:feel dealt:deal swollen:swell forgotten:forget sought:seek taught:teach
    caught:catch thrown:throw worse:bad worst:bad better:good best:good
"""
_IRREGULAR = dict(form.split(":") for form in _IRREGULAR_FORMS.split())
# "eingeschaltet" and "einzuschalten" are forms of "einschalten", "gelagert" is one of "lagern".
_GERMAN_PARTICIPLE = re.compile(
    r"((?:ab|an|auf|aus|be|bei|durch|ein|fest|her|hin|mit|nach|um|vor|weg|weiter|zurück|zusammen)"
    r"(?=ge|zu)|(?=ge))(?:ge|zu)(\w{3,30}?)(?:t|en)$"
)
_STOP_WORDS = """
    a an the this that these those it its they them their there he she his her him we us our
    you your i me my who whom which what whose and or nor but if then else so than as of in on at by
    to from for with without into onto over under above below up down out off about within between
    through during before after until till unless except when whenever while where wherever once
    since because is are was were be been being am has have had having do does did doing done will
    would shall should must may might can cannot could not no never none neither only also too very
    any all each every both either some such other another same own more most less least fewer few
    much many at per via etc eg ie ensure make made making let lets get gets sure take carry ought
    need needs needed required require requires order case way ways thing things please always
    both anyone nobody anybody someone somebody everyone one two three four five six seven eight
    nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty
    thirty forty fifty sixty seventy eighty ninety hundred thousand million pair pairs
    soon now here just even still yet least exactly prior upon again
    be'd don't doesn't isn't aren't mustn't shouldn't can't itself themselves yourself himself
    used recommended permitted allowed prohibited forbidden
    fully completely properly strictly entirely simply normally usually generally routinely rule
    period time irrespective regardless whose whereas thereof therein age aged
    minimum maximum min max hour day week month year minute second hours days weeks months years
    minutes seconds half twice percent mg ml kg km cm mm degree degrees celsius daily weekly monthly
    yearly hourly quarterly annually annual quarter quarters shorter longer older younger higher
    lower later earlier above exceed exceeds exceeding greater faster slower
"""
_STOP = frozenset(_STOP_WORDS.split())
_GROUPS = """
    ensure verify check confirm validate inspect examine control assess test review
    inform notify tell report alert warn advise announce communicate contact call message phone
    telephone phone call ring
    staff employee personnel worker workforce colleague team member people person
    doctor physician clinician medic
    user subscriber customer client account
    patient person resident
    use employ utilise utilize apply application usage operate
    give administer provide offer supply deliver hand issue grant infuse dispense dose receive
    keep retain store maintain hold save preserve remain stay archive
    delete remove erase dispose discard destroy throw purge eliminate take strip
    start begin commence initiate launch onset
    stop end cease discontinue terminate halt finish
    fix repair correct remedy resolve
    write record document log note register enter
    disclose reveal share tell discuss publish
    install apply deploy patch update upgrade
    obtain get receive collect acquire gather
    wash clean rinse cleanse
    choose select pick
    show display present demonstrate
    allow permit let authorise authorize approve enable accept agree consent grant
    allow admit
    forbid prohibit ban disallow deny refuse reject block
    buy purchase
    send transmit transfer submit forward pass hand
    sign signature
    create make build produce generate establish set
    change modify alter replace rotate update switch renew
    answer reply respond response
    need require necessary mandatory request ask demand
    locked lock secure secured closed shut close
    fast quick rapid speed
    near close nearby next
    immediately once straight promptly instantly delay
    stay remain
    warm heat cook hot temperature
    follow keep comply adhere obey observe
    drive driving vehicle ride
    wear put
    enter access entry
    leave exit depart
    error mistake fault failure fail failed
    bring carry take transport equip have
    state declare specify name list indicate
    photo photograph picture
    evaluate assess
    lend loan borrow
    presence present front
    connect link attach join
    disconnect unplug detach separate
    mail email
    lorry truck vehicle
    two both pair
    move bring shift
    measure check take monitor
    cover protect dress
    power electricity current
    count tally
    big large
    brief short
    buy order
    identify identification recognise identity
    hold run conduct perform carry organise
    limit restrict maximum cap
    risk danger hazard
    free charge
    decide decision determine
    refuse decline reject
    explain describe
    label labelled mark tag
    help assist support aid
    train teach instruct educate
    old age older
    drink consume alcohol
    release publish publication
    night overnight
    post place station appoint assign
    advertise announce publish
    post advertise
    restore recover
    escort accompany
    keep prevent
    work task job
    pet animal dog
    worth value
    hour hourly time
    authenticate authentication verify
    require enforce
    compare match
    secret password passcode
    encrypt encryption cipher
    usable operable use operate
    finish complete end conclude over past
    deteriorate worsen worse decline
    improve better recover
    increase raise lift grow rise more
    decrease reduce lower drop fall decline sink less
    restrict limit confine
    share pass disclose transfer hand give forward
    right entitled entitlement
    correct right proper accurate
    affected concerned relevant respective
    drink fluid liquid
    exclude rule
    consult ask seek advice confer
    suitable appropriate adequate fit
    sufficient adequate enough
    incident event occurrence
    accident injury
    illness disease sickness ill sick unwell
    drug medicine medication medicament pharmaceutical substance
    hospital ward clinic inpatient
    admission admit arrival arrive
    discharge leave home release
    machine device equipment appliance apparatus unit tool instrument
    software application program programme app
    location place site position spot
    building premises facility house
    room area space zone
    waste rubbish trash garbage refuse litter
    agreement contract
    legal law statutory lawful
    head leader chief lead manager supervisor superior boss
    supplier vendor provider contractor
    private personal own
    individual person human
    parent parental guardian
    erase delete anonymise
    interval period time duration
    feasible possible practicable
    live resident residence reside
    value worth amount sum
    breakable fragile
    frequently regularly often
    thoroughly carefully
    document documentation paper form file record
    evidence proof
    withdraw revoke take
    finally last final
    begin onset first start beginning
    damage defect defective faulty broken worn
    missing lost lose
    empty drain
    obtain seek secure get
    require demand call
    skip miss omit bypass
    arrange organise schedule plan
    provide supply furnish
    separate apart distinct own
    consent permission approval authorisation agreement
    approve sign authorise consent
    turn switch set put
    shut close turn switch off
    nearby close near next adjacent
    child minor
    woman female
    man male
    worker labourer operative operator
    autoplay automatic play
    notice inform information announce warning notification
    prior advance previous before
    emergency urgent crisis
    suspect suspicion suspected
    immediately prompt
    regularly periodic periodically
    work function operate run
    weekend saturday sunday
    visitor guest
    vehicle car van
    physician doctor consultant specialist
    pain painful ache
    blood haemorrhage bleed
    raise escalate report
    breach violation infringement
    purpose aim goal
    explain justify reason
    observe watch monitor supervise
    treat treatment therapy
    urine catheter catheterise
"""
_ROLE_WORDS = """
    nurse doctor physician surgeon clinician midwife therapist pharmacist consultant porter matron
    paramedic dentist carer caregiver sister patient relative parent visitor guest child resident
    manager supervisor director officer chief head leader lead chair chairman secretary clerk
    administrator operator engineer technician mechanic developer programmer analyst auditor
    inspector assessor reviewer approver owner custodian controller processor vendor supplier
    contractor subcontractor partner customer client user subscriber applicant verifier
    employee employer worker colleague recruiter interviewer candidate intern trainee mentor
    apprentice student teacher trainer lecturer principal treasurer teller cashier banker adviser
    advisor broker borrower lender guarantor accountant bookkeeper lawyer solicitor judge chef cook
    waiter cleaner baker butcher handler driver pilot captain conductor dispatcher signaller guard
    lookout passenger pedestrian cyclist security police firefighter responder volunteer warden
    caretaker janitor librarian researcher scientist investigator committee board council
    regulator authority agency minister mayor governor attorney notary translator courier
    receptionist secretary steward host buyer seller agent delegate representative ombudsman
    architect designer tester helpdesk foreman planner installer guardian tenant landlord
"""
_GENERIC_WORDS = """
    you organisation organization company everyone everybody anyone all staff employee personnel
    team member people person worker reader audience recipient department institution firm
    provider business responsible relevant appropriate concerned user
    healthcare professional clinician practitioner
    mitarbeitende mitarbeiter mitarbeiterin beschäftigte personal sie einrichtung unternehmen
    personnel salarié employé vous organisme entreprise établissement
    empleado trabajador usted organización empresa entidad
"""


def readable(text: str) -> str:
    """Without mark-up, one kind of dash and apostrophe, full-width signs as plain ones."""
    folded = plain(text)
    if folded.isascii():
        return folded.replace("\n", " . ").replace("`", "'")
    folded = unicodedata.normalize("NFKC", _INVISIBLE.sub("", folded))
    return folded.replace("\n", " . ").translate(_DASHES)


class _Remembered(dict[str, str]):
    """Kept from job to job for words alone: a longer run of letters may be a tenant's sentence.

    A dict, since a text is looked up word by word without a call for each. Full, it begins anew.
    """

    def __init__(self, of_word: Callable[[str], str]) -> None:
        super().__init__()
        self._of_word = of_word

    def __missing__(self, word: str) -> str:
        said = self._of_word(word)
        if len(word) <= _MAX_REMEMBERED:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[word] = said
        return said

    def of_all(self, words: Iterable[str]) -> list[str]:
        """What is said of each word, without those of which nothing is."""
        return list(filter(None, map(self.__getitem__, words)))


def stem(word: str) -> str:
    """What the forms of one word share; crude on purpose, the same for both texts."""
    return _STEMS[word]


def _stem(word: str) -> str:
    word = word.casefold().removesuffix("'s").removesuffix("'")
    word = _IRREGULAR.get(word, word)
    participle = _GERMAN_PARTICIPLE.match(word)
    if participle:
        word = f"{participle[1]}{participle[2]}"
    for _ in range(2):
        word = _without_suffix(word)
    if len(word) > _MIN_STEM and word[-1] == word[-2]:
        word = word[:-1]
    return word[:-1] + "i" if len(word) > _MIN_STEM and word[-1] == "y" else word


def _without_suffix(word: str) -> str:
    for suffix in _SUFFIXES:
        if word.endswith(suffix) and len(word) - len(suffix) >= _MIN_STEM:
            return word[: -len(suffix)]
    return word


def content(text: str) -> list[str]:
    """The stems that carry meaning, in their order; of unspaced scripts each pair of signs."""
    if text.isascii():
        return meanings(words(text))
    if not _UNSPACED.search(text):
        return _MEANINGS.of_all(_WORD.findall(text))
    found: list[str] = []
    for word in _WORD.findall(text):
        if _UNSPACED.search(word):
            found.extend(word[at : at + 2] for at in range(max(1, len(word) - 1)))
        elif said := _MEANINGS[word]:
            found.append(said)
    return found


def meanings(found: Iterable[str]) -> list[str]:
    """`content` of an ASCII text, by its `words`."""
    return _MEANINGS.of_all(found)


def _meaning(word: str) -> str:
    """Its stem; "" for a word that carries no meaning."""
    return stem(word) if len(word) > 1 and word.casefold() not in _STOP else ""


def roles(text: str) -> list[str]:
    """Who acts or is acted upon; by the word itself, since "driver" and "drive" share a stem."""
    return roles_among(words(text))


def roles_among(found: Iterable[str]) -> list[str]:
    """`roles` of a text, by its `words`."""
    return _SINGULAR_ROLES.of_all(found)


def _role(word: str) -> str:
    singular = _singular(word)
    return singular if singular in _ROLES else ""


def _singular(word: str) -> str:
    word = _IRREGULAR.get(word.removesuffix("'s").removesuffix("'"), word)
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-1] if word.endswith("s") and not word.endswith("ss") else word


def words(text: str) -> list[str]:
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return [word.casefold() for word in _WORD.findall(text)]


def positive(word: str) -> str:
    """ "inactive" without its negation; "" where it has none."""
    return _POSITIVES[word]


def _positive(word: str) -> str:
    match = _NEGATIVE_PREFIX.match(word)
    return word[match.end() :] if match else ""


_NEGATIVE_PREFIX = re.compile(r"(?:in|im|un|non|dis)(?=\w{4})")


class Vocabulary:
    """The stems of a text, asked whether they hold a word or one used in its place."""

    def __init__(self, stems: Iterable[str]) -> None:
        self.stems = set(stems)

    @kept
    def _groups(self) -> set[int]:
        return {group for word in self.stems for group in _MEMBERSHIP.get(word, ())}

    @kept
    def _starts(self) -> set[str]:
        return {word[:5] for word in self.stems if len(word) >= 5}

    @kept
    def _positives(self) -> set[str]:
        return set(_POSITIVES.of_all(self.stems))

    def holds(self, word: str) -> bool:
        if word in self.stems or (len(word) >= 5 and word[:5] in self._starts):
            return True
        if word in self._positives or _POSITIVES[word] in self.stems:  # "inactivity", "no activity"
            return True
        groups = _MEMBERSHIP.get(word)
        return groups is not None and not self._groups.isdisjoint(groups)

    def says(self, word: str) -> bool:
        """Strictly: the word itself, no synonym."""
        return word in self.stems


def share(stems: Iterable[str], vocabulary: Vocabulary) -> float:
    """How much of `stems` the vocabulary holds; 1.0 where there is nothing to hold."""
    wanted = list(stems)
    return sum(map(vocabulary.holds, wanted)) / len(wanted) if wanted else 1.0


def _membership() -> dict[str, tuple[int, ...]]:
    found: dict[str, list[int]] = {}
    for number, line in enumerate(_GROUPS.strip().splitlines()):
        for word in line.split():
            found.setdefault(stem(word), []).append(number)
    return {word: tuple(groups) for word, groups in found.items()}


_STEMS, _MEANINGS = _Remembered(_stem), _Remembered(_meaning)
_SINGULAR_ROLES, _POSITIVES = _Remembered(_role), _Remembered(_positive)
_MEMBERSHIP = _membership()
_ROLES = frozenset(_ROLE_WORDS.split())
GENERIC = frozenset(map(stem, _GENERIC_WORDS.split()))
