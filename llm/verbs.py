"""Is this sentence an order? Base-form verbs, and what may stand before one."""

import re
from dataclasses import dataclass
from itertools import islice

# Verbs that guidelines begin their orders with. Not here: words that begin descriptions far more
# often ("face", "access", "content", "see", "note", "think of").
_CLEAR_WORDS = """
    accept acknowledge acquire adapt add adhere adjust administer adopt advise agree align
    allocate allow analyse analyze announce annotate anticipate apply appoint arrange ascertain
    ask assemble assess assign assist assume attach attain attend authenticate authorise authorize
    avoid be become begin bind bring build calculate calibrate call cancel carry change check
    choose clarify classify clean clear close collect combine commit communicate compare compile
    complete comply conduct configure confirm connect conserve consider consult contact continue
    contribute convert cooperate coordinate copy correct counsel cover create cut deactivate
    decide declare decline decontaminate decrease define delegate delete deliver demonstrate deny
    deploy describe detect determine develop direct disable disallow discard discharge disclose
    disconnect discontinue discourage discuss disinfect dispose distinguish distribute divide
    do draft draw drink drive dry earn eat educate elevate eliminate email employ empty enable
    encourage encrypt end enforce engage enhance enlist enrol enroll ensure enter erase escalate
    establish evaluate examine exclude execute exercise expand explain explore express extend
    facilitate fill find fit fix flag flush follow formulate gather generate get give grant group
    guarantee guard guide handle help hire hold hydrate identify immunise immunize implement
    improve include incorporate increase indicate inform initiate inject insert inspect install
    instruct integrate interview introduce investigate invite involve isolate issue join justify
    keep know learn leave let lift limit listen locate lock log look lower maintain make manage map
    mark match maximise maximize measure meet minimise minimize mitigate monitor move name
    negotiate nominate notify observe obtain offer omit open operate optimise optimize order
    organise organize palpate participate pass pause pay perform permit pick place plan post
    practice practise prefer prepare prescribe present preserve press prevent prioritise
    prioritize proceed process produce prohibit promote prompt protect prove provide publish
    pull purchase push put quarantine raise read reassess receive recheck recommend reconcile record
    redact reduce refer refrain refuse register regularise reject release relocate rely remember
    remind remove render renew repeat replace report request require reschedule reserve resolve
    respect respond rest restart restore restrict resume resuscitate retain retrain return review
    revise revoke rinse rotate run safeguard sanitise sanitize save scan schedule score screen
    seal search secure seek select send separate serve set share ship show shut sign specify
    stabilise stabilize standardise standardize start state stay sterilise sterilize stop store
    strive submit subscribe substitute supervise supply support suspend switch synchronise take
    talk target teach tell terminate test thank think throw titrate track train transfer transmit
    transport treat trigger try turn uninstall update upgrade upload use utilise utilize vaccinate
    validate vary ventilate verify visit wait walk warn wash watch wear weigh wipe withdraw
    withhold work write
    abort absorb adapt aim amend append archive arm assert attest audition augment back bar base
    batch bathe bind blend block boil bond book boost bound bow breathe brief broaden brush burn
    bury buy bypass cache capture cast cease certify chair challenge charge chart chill clamp clip
    coach coat code collate compensate compose compress concentrate conclude condense confine
    congratulate construct consume contest contract cook cool count couple credit crush cultivate
    cure customise customize debug deduct deduplicate deem defer defrost degrease dehydrate delay
    deposit depressurise derive descale detach detain deviate diagnose dig dilute dip discount
    dismantle dismiss dispatch display dissolve dock donate double download downgrade drain drag
    drill drop dump duplicate earth edit eject embed embrace emphasise emphasize emulate enrich
    enumerate envisage equip erect estimate evacuate evade evict excise expand expect expedite
    expose extinguish extract fasten feed file film filter finalise finalize finish fold format
    forward foster freeze fulfil fulfill fund furnish fuse gauge grade grant grasp grease greet
    grind ground halt handwash hang harden heat hide highlight hoist honour honor host house
    hydrate ignore illustrate immerse impose incubate infuse inhale inoculate insulate insure
    integrate intensify interpret interrupt intubate invest invoice invoke irrigate itemise label
    lay lead lend level license liaise line liaise load loosen lubricate mail mask massage melt
    mend merge migrate mind mirror mix modify moisten mount mop navigate neutralise neutralize
    nurture oblige offload offset opt orient outline overwrite own pack package pad paint park
    patch peel permit phone photograph pipette plug polish pour precede preheat prescribe press
    pressurise prime print privilege probe procure prolong proofread propose prune pump punch
    purge purify qualify quantify query quote rate re-check re-evaluate re-read reach react
    realign reapply rearrange reassign reassure reattach rebuild recalibrate recite reclaim
    recognise recognize recommend recover recruit recycle redirect redo reevaluate refill
    refresh refrigerate refuel refund refuse regulate rehearse reimburse reinforce reinstall
    reiterate relabel relieve reload relocate remedy remove rename render renegotiate reorder
    repay rephrase replenish reposition reroute rescue resend resist resort resume retake retest
    retract retrieve reuse reverse revisit reward rewrite rewind rewrap roll rub rule sanction
    saturate scale scrape scrub secure seize sharpen shave shield shorten shower simplify
    simulate sit skip slide slow soak solve sort space spare speak specify spell spend split
    spray spread squeeze stack stagger stand steer step stick stir stow straighten strap
    streamline strengthen stretch strip structure study substantiate subtract suck suction
    suggest summarise summarize suppress survey suture swab swap swallow sweep symbolise
    synchronize tackle tag tailor tap tape telephone tend thaw throttle tie tighten tilt toggle
    touch trace trade transcribe translate trap trim trust tune twist uncover undergo
    undertake undo unfold unload unlock unpack unplug unscrew untie unwrap vacate vacuum validate
    vent view volunteer weaken weave weld wet whip widen wind wire wrap yield
"""
# Also nouns: an order only if no finite verb follows at once ("Test results are filed weekly").
_NOUN_WORDS = """
    address answer approach audit balance block budget change check clean contact control copy
    cover cut design document dose draft dress drink drive dry email end exercise fit fix flag
    guard guide handle help hold issue join keep label leave lift limit lock log map mark match
    measure monitor move name number offer order pass pause pay pick place plan post practice
    present press process produce program prompt push raise record reduce release repair report
    request rest return review run sample save scan schedule score screen seal search set share
    ship show sign start state stay stop store supply support switch target test track train
    transfer transport treat trigger turn update upgrade upload use visit walk watch wear work
    rinse link open separate complete secure clear dry empty close present lower rank round
    phase question reward sort stage staff stack supply time type value view vote
"""
# Far more often nouns: an order only with what an object begins with ("Refresh the page", not
# "Refresh tokens").
_MOSTLY_NOUN_WORDS = """
    hang skip offload
    aim back bar base batch book boost bound bow brief brush burn cache cast chair challenge
    charge chart clamp clip coach coat code contract cook count couple credit cure debug delay
    deposit dip discount display dock double downgrade download drain drill drop dump duplicate
    earth estimate expose file film filter finish fold format forward freeze fund fuse gauge
    grade grant grease ground halt heat highlight hoist host house lead level license line load
    mail mask massage mind mirror mix mop mount offset outline own pack package pad paint park
    patch peel phone photograph pipette plug polish prime print privilege probe pump punch query
    quote rate redirect refresh refund refuse remedy rescue resend reverse roll rub rule
    sanction scale shield shower slide slow soak space spare spend spray spread stand step stick
    stir strap strip structure study survey swab swap sweep tag tailor tap tape telephone tend
    throttle tie tilt touch trace trade trap trim trust tune twist undertake vacuum vent
    volunteer welcome wind wire wrap yield
"""
_CLEAR = frozenset(_CLEAR_WORDS.split())
_ALSO_NOUNS = frozenset(_NOUN_WORDS.split())
_MOSTLY_NOUNS = frozenset(_MOSTLY_NOUN_WORDS.split())
_BEGINS_OBJECT = re.compile(
    r"\s+(?:the|an?|all|any|each|every|both|your|their|its|his|her|our|this|that|these|those|it|them"
    r"|yourself|no|only|at least|at most|up|out|off|down|away|back)\b",
    re.IGNORECASE,
)
_ADVICE = frozenset({"consider", "encourage", "prefer", "try", "strive", "think", "explore", "aim"})
_REFERENCE = re.compile(
    r"(?:refer\s+to\s+(?:the\s+)?(?:section|table|figure|appendix|chapter|annex)"
    r"|think of\b|let['’]s|be\s+(?:it|that)\b|remember\s+that|use\s+of\b|use\s+cases?\b"
    r"|screen\s+readers?\b|read\s+(?:more|about)\b|learn\s+(?:more|about)\b|find\s+out\s+more|follow\s+us\b|help\s+us\b|thank\b)",
    re.IGNORECASE,
)
_ADVISORY_LEAD = re.compile(
    r"\b(?:whenever|wherever|where|if|as far as)\s+"
    r"(?:possible|practical|practicable|appropriate|feasible)"
    r"|\bideally\b|\bpreferably\b",
    re.IGNORECASE,
)
_LABEL = re.compile(r"(?P<label>[^:.!?\n]{1,60}):\s+(?=\S)")
_ADVERB = re.compile(
    r"(?:(?:please|always|also|then|next|instead|first|secondly|finally|otherwise|therefore"
    r"|thus|ideally|however|in addition|where possible|if possible"
    r"|whenever possible|if necessary|when possible|as needed|[a-z]{3,14}ly),?\s+)",
    re.IGNORECASE,
)
_NEGATION = re.compile(r"(?:do\s+not|don[’']t|never|at no time)\b\s*", re.IGNORECASE)
_CONDITION = re.compile(
    r"(?:if|when|whenever|before|after|for|to|in|during|once|unless|until|where|wherever|while"
    r"|as|by|depending|on|at|within|with|without|prior|upon|given|because|since|via|using"
    r"|following|from|until|every|each|should|every|between|under|regardless|except|although)\b",
    re.IGNORECASE,
)
# "If SpO2 < 92 % start oxygen": after a figure the order may follow without a comma.
_FIGURE = re.compile(r"(?:\d\s?(?:%|°C|[a-zA-Zµ/]{1,7})?|\bthen|→)\s+(?=[a-z])")
_WORD = re.compile(r"[A-Za-z][A-Za-z’'-]*")
_FINITE = re.compile(
    r"(?:is|are|was|were|will|has|have|had|must|should|shall|may|can|cannot|could|would|include"
    r"|includes|contain|contains|consists?|provides|depends|means|applies|apply|requires|does"
    r"|needs?|exists?|became|becomes|remains?|makes|helps|shows|gives|serves)$",
    re.IGNORECASE,
)
_MAX_COMMAS = 8


@dataclass(frozen=True)
class Verb:
    """The base-form verb a sentence starts with.

    start      where the order begins in the sentence, its negation included
    end        where the verb ends
    negated    "do not", "don't", "never" before it
    is_advice  "consider", "ideally": asked for, but not required
    """

    word: str
    start: int
    end: int
    negated: bool
    is_advice: bool


def leading_verb(text: str) -> Verb | None:
    """The verb of an order, after a label, adverbs or a condition; None where there is none."""
    start = _skip(text, 0, "\"'“‘([ ")
    label = _LABEL.match(text, start)
    if label and (len(label["label"].split()) == 1 or not _starts_with_verb(text, start)):
        if label["label"].strip().lower() in ("example", "for example", "failure"):
            return None
        start = label.end()
    direct = _verb_at(text, start)
    if direct or not _CONDITION.match(text, start):
        return direct
    return _verb_after_comma(text, start) or _verb_after_figure(text, start)


def _verb_after_comma(text: str, start: int) -> Verb | None:
    at = start
    for _ in range(_MAX_COMMAS):
        comma = text.find(",", at)
        if comma < 0:
            return None
        at = comma + 1
        verb = _verb_at(text, _skip(text, at, " "))
        if verb and is_imperative(text, verb):
            advice = verb.is_advice or bool(_ADVISORY_LEAD.search(text[start:at]))
            return Verb(verb.word, verb.start, verb.end, verb.negated, advice)
    return None


def _verb_after_figure(text: str, start: int) -> Verb | None:
    for figure in islice(_FIGURE.finditer(text, start), _MAX_COMMAS):
        verb = _verb_at(text, figure.end())
        if verb and verb.word not in _ALSO_NOUNS | {"be"} and is_imperative(text, verb):
            return verb
        if verb and verb.word == "start":
            return verb
    return None


def is_imperative(text: str, verb: Verb) -> bool:
    """Not a noun that looks like the verb, not a mere pointer to other text."""
    if verb.negated:
        return True
    if _REFERENCE.match(text, verb.end - len(verb.word)):
        return False
    following = _WORD.findall(text[verb.end : verb.end + 60])[:4]
    if following and re.match(r"\s*[-/]\w", text[verb.end :]):
        return False
    if following and (_FINITE.match(following[0]) or following[0].lower() == "of"):
        return verb.word == "dispose" and following[0].lower() == "of"
    if verb.word in _ALSO_NOUNS:
        return not any(_FINITE.match(word) for word in following[:3])
    return verb.word not in _MOSTLY_NOUNS or bool(_BEGINS_OBJECT.match(text, verb.end))


def _starts_with_verb(text: str, at: int) -> bool:
    word = _WORD.match(text, at)
    return word is not None and word.group().lower() in _CLEAR


def _verb_at(text: str, start: int) -> Verb | None:
    at, negated, advice = start, False, False
    for _ in range(4):
        negation = _NEGATION.match(text, at)
        if negation:
            negated, at = True, negation.end()
            continue
        adverb = _ADVERB.match(text, at)
        if adverb is None or adverb.group().strip(" ,").lower() in _CLEAR:  # "comply", "supply"
            break
        advice = advice or bool(_ADVISORY_LEAD.search(adverb.group()))
        at = adverb.end()
    word = _WORD.match(text, at)
    if word is None or text.startswith("_", word.end()):  # finish_reason
        return None
    base = word.group().lower()
    known = base in _CLEAR or base in _ALSO_NOUNS or base in _MOSTLY_NOUNS
    if not known and not negated:
        return None
    return Verb(base, start, word.end(), negated, advice or base in _ADVICE)


def _skip(text: str, at: int, chars: str) -> int:
    while at < len(text) and text[at] in chars:
        at += 1
    return at
