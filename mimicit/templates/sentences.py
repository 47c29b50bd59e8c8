"""Sentences that describers wrote: mended, and judged by what they need before them.

What stands in a paragraph often leans on it ("she then"), and is no answer by itself.
"""

import re

from mimicit.facts import tidy, words_of
from mimicit.templates._cast import names_somebody

_DANGLING = re.compile(
    r"("
    r"he|she|they|it|his|her|hers|their|theirs|its|him|them|this|that|"
    r"these|those|one|both|another|other|others|also|then|next|again|"
    r"finally|afterwards|and|but|so|now|later|still|more|first|second|third|last|lastly|shortly|"
    r"eventually"
    r")\b"
)
"""Words that need a sentence before the one they begin."""
_SUBORDINATE = frozenset({"as", "when", "while", "after", "before", "once", "until", "since"})
_EARLIER = re.compile(
    r"^(?:(?!\b(?:and|but|before)\b)[^,;]){0,60}\b(then|again|also|still|continu\w+|finally|"
    r"eventually|afterwards|later|once more|another|the other|same|rest of|(the|his|her|their) "
    r"(first|second|third|next|last|previous|final))\b"
)
_ADVERB_FIRST = re.compile(
    r"^((shortly |soon |right |just )?after|before|meanwhile|soon|first|second|third|last|once|"
    r"later)\s*,"
)
PRONOUN = re.compile(r"\b(he|she|they|it|his|her|hers|their|theirs|its|him|them)\b")
_PERSONS = {
    "he": re.compile(r"\b(man|boy|guy|male|gentleman|person|child|kid|player|father|son)\b"),
    "she": re.compile(r"\b(woman|girl|lady|female|person|child|kid|player|mother|daughter)\b"),
    "": re.compile(r"\b(m[ae]n|wom[ae]n|boys?|girls?|guys?|lady|ladies|(fe)?males?|people)\b"),
}
_HE_OR_SHE = re.compile(r"\b(?:(he|his|him|himself)|(she|her|hers|herself))\b")
_NOUNS: dict[str, re.Pattern[str]] = {
    "he": re.compile(
        r"\b(man|boy|guy|male|gentleman|father|player|athlete|person|toddler|baby|child|kid|teenager|"
        r"son|brother|friend|another)\b"
    ),
    "she": re.compile(
        r"\b(woman|girl|lady|female|mother|player|athlete|person|toddler|baby|child|kid|teenager|"
        r"daughter|sister|friend|another)\b"
    ),
    "they": re.compile(
        r"\b(men|women|people|boys|girls|players|kids|children|couple|ladies|guys)\b"
    ),
}
_SOMEBODY = (
    r"^((?:(?:young|little|small|old|older|male|female) )?(?:man|woman|girl|boy|lady|guy|person|"
    r"child|kid|dog|cat|group|couple|patient|nurse|chef|athlete|gymnast))\b"
)
_BARE = re.compile(
    _SOMEBODY + r"(?= (is|in|on|with|of|wearing|sitting|standing|and|walks|sits|stands|runs|starts|"
    r"begins|talks|shows|plays))",
    re.IGNORECASE,
)
"""Whoever begins a sentence without an article, where the article is all that it lacks."""


_PERSON = (
    r"(?:(?!(?:and|or|of|with|in|to|who|is|man|woman|boy|girl|child)\b)[a-z-]+ ){0,2}?"
    r"(?:man|woman|girl|boy|lady|guy|person|child|kid|dog|cat|player|camera|male|female|gymnast|"
    r"athlete|teenager|instructor|cheerleader|surfer|skater)"
)
_ONE = rf"(?:an?|the|one) {_PERSON}"
"""One person, with or without an adjective."""
_BASE = (
    r"(?:have|do|go|get|put|take|make|come|give|show|sit|stand|hold|talk|speak|walk|run|jump|play|"
    r"start|begin|throw|hit|ride|rake|cut|clean|wash|use|move|turn|pick|pull|push|look|try|dance|"
    r"continue|explain|demonstrate|perform|wear|fall|swim|climb|mow|brush|shake|lift|drop|open|"
    r"drink|eat|bring|rub|rinse|skate|pass|scoop|bounce|crush|kick|grab|chop|peel|pour|mix|add|unroll)"
)
"""Verbs in the form that several persons have."""
_ITS = (
    r"(?:an?|the|it|them|him|his|her|their|some|another|up|down|on|off|in|out|to|into|onto|over|"
    r"around|through|at|with|back)"
)
"""What follows a verb, and seldom a noun."""
_MANY = (
    r"(?:men|women|people|boys|girls|players|kids|children|couple|ladies|guys|others|they|dogs|"
    r"team|group|and (?:an?|another|the|his|her|one|two|some|other|child|woman|man|father|mother))"
)
_BARE_FORM = (
    r"(?:to|can|could|will|would|may|might|must|should|does|did|not|how|help\w*|mak\w+|let\w*|"
    r"watch\w*|see\w*|and|tries|tr(?:y|ying)|attempts?)"
)
"""After these the same form is right for one person too."""
_SEVERAL = (
    rf"(?:{_ONE} and (?:(?:an?|another|the) )?{_PERSON}"
    r"|(?:(?:two|three|four|five|six|several|many|some|the|both) (?:[a-z]+ )?)?"
    r"(?:men|women|people|boys|girls|kids|children|players|guys|ladies))"
)
_NO_VERB = (
    r"(?:as|his|towards|across|always|upstairs|downstairs|outdoors|indoors|besides|sometimes|afterwards|"
    r"presenters|\w*ss|this|its|yes|perhaps)"
)
"""Words in -s that are not the verb of one person."""
_DISAGREES: tuple[re.Pattern[str], ...] = (
    # a man rake leaves
    re.compile(rf"^{_ONE} (?:are|were|{_BASE})\b"),
    # a man holding crutches wash a car
    re.compile(
        rf"^{_ONE} (?:\w+ing|in|on|with|at)(?: (?!(?:is|was|has|that|who|{_BARE_FORM}|{_MANY})\b)"
        rf"[\w'-]+){{1,7}}(?<! a)(?<! an)(?<! the)(?<! his)(?<! her) {_BASE} (?!up on\b){_ITS}\b"
    ),
    # a man is running and make a jump
    re.compile(
        rf"^{_ONE} (?:(?!\b(?:{_BARE_FORM.replace('and|', '')}|{_MANY})\b).)* and (?:then )?"
        rf"{_BASE} {_ITS}\b"
    ),
    # a man and a woman walks
    re.compile(rf"^{_SEVERAL} (?!{_NO_VERB}\b)(?:is|was|has|\w+s)\b"),
)
"""One person and the verb of several, or several and the verb of one."""

_ARTICLES = re.compile(r"\b(?:an?|the) (?:an?|the)\b")
"""Articles of which one is too many."""
_TWICE = re.compile(
    r"\b(?!(?:that|had|it|her|on|up|over|so|very|much|many|more|no|bye|hip|cha|pom|fast|long)\b)"
    r"([a-z]+) (?=(?-i:[a-z]))(?=\1\b)",
    re.IGNORECASE,
)
"""A word that is typed twice; some stand twice with reason, as in "lights are on on a court"."""

_SOMEONE = re.compile(
    r"\b(?:(?:fe)?males?|m[ae]n|wom[ae]n|boys?|girls?|guys?|lad(?:y|ies)|gentlem[ae]n|persons?|"
    r"people|child(?:ren)?|kids?|bab(?:y|ies)|toddlers?|teen\w*|youths?|adults?|couples?|"
    r"famil(?:y|ies)|groups?|teams?|crowds?|audience|moms?|dads?|parents?|sons?|wife|husband|bride|"
    r"groom|some(?:one|body)|every(?:one|body)|any(?:one|body)|nobody|individuals?|chefs?|cooks?|"
    r"class|band|cast|coach(?:es)?|hosts?|students?|goalies?|clowns?|judges?|champions?|guests?|"
    r"friends?|teammates?|opponents?|referees?|surgeons?|squad|company|brunette|blonde?|officials?|captains?|crew|staff|models?|passerby|cops?|kittens?|pupp(?:y|ies)|dogs?|"
    r"cats?|horses?|bulls?|camels?|cows?|sheep|goats?|birds?|calf|calves|animals?|rabbits?|monkeys?|"
    r"ducks?|fish|elephants?|contestants?|assistants?|gymnasts?|attendants?|(?!(?:after|over|under|"
    r"water|for|or|color|counter|floor|flower|corner|together|banner|paper|hammer|however|soccer|"
    r"newspaper|number|hers|her|other|another|never|later|river|ladder|summer|winter|power|shoulder|"
    r"finger|computer|container|door|mirror|motor|sweater|center|shower|lower|upper|powder|butter|"
    r"whether|rather|either|outdoor|indoor|leather|enter|offer|cheer|poster|near|nor|meter|layer|"
    r"cover|afterward|lawnmower|mower|trimmer|blower|razor)s?\b)"
    r"\w+(?:ists?|letes?|ians?|[eo]rs?|women|men))\b"
)
"""Whoever "he", "her" or "they" may mean."""
_PERSONAL = re.compile(
    r"\b(?:he|she|they|his|hers?|theirs?|him|them|himself|herself|themselves)\b(?!\w)"
)

_CAPITALS = re.compile(r"\b[A-Z][a-z'\u2019-]+(?: [A-Z][a-z'\u2019-]+)+")
_OPENERS = frozenset(
    words_of(
        "a an the there two three four several many some one various this that then in on at as "
        "while when after before once and but with from for behind inside outside next finally"
    )
)
"""Words that have a capital where they begin a sentence, and are no names."""
_BEFORE_TITLES = frozenset(words_of("a an the in at says say word words read reads called"))
"""After these, capitals are as a rule those of a place, a shop, or of words on a sign."""
_CALLED = re.compile(r"\bnamed [A-Z]|\bname (?:is|as) [A-Z]")
_NO_PERSON = re.compile(
    r"\b(?:African|American|Asians?|Chinese|Japanese|New|South|North|Tai|Tae|Jiu|Red|Go|World|Cup|Tour|"
    r"Christmas|Club|Company|Salon|Productions?|Media|Team|Festival|Community|Camp|Training|Tips|Drills|"
    r"Line|Olympics?|Street|Park|University|Screen|Logo|Station|Beach|Bay|City|River|Lake|Island|School|"
    r"Subscribe|Bloopers|Habit|Hurdle|Slacklines|Archery|Kickball|Taylor|Mouse|Hood|Specialist|Champ|Hockey|"
    r"Championships?|Games?|League|Bicycle|Ginger|Beats|Futsal|Beauty|Bass|Colosseum|Cola|Cross)\b"
)
"""Words of what has two capitals and is no person."""


def mend(text: str) -> str:
    """Mend what typing does to a sentence: doubled words, missing blanks, capital, full stop."""
    text = _TWICE.sub("", " ".join(text.split()))
    text = re.sub(r"([,;]) *(?:\1 *)+", r"\1 ", text)
    text = re.sub(r',(?="?[A-Za-z])', ", ", text)
    text = re.sub(r"^(A|An|The|Two) (M[ae]n|Wom[ae]n|Boy|Girl|Lady)\b", _lowered, text)
    return tidy(_BARE.sub(_with_article, tidy(text)))


def _with_article(found: re.Match[str]) -> str:
    return f"{'An' if found[1][0] in 'oOaA' else 'A'} {found[1].lower()}"


def _lowered(found: re.Match[str]) -> str:
    return f"{found[1]} {found[2].lower()}"


def stands_alone(text: str) -> bool:
    """Tell whether a sentence is understood by itself, with none before it."""
    return opens(text) and not (_EARLIER.search(text.lower()) or names_anybody(text))


def names_anybody(text: str) -> bool:
    """Tell whether a first name occurs in a sentence, or what looks like a full name."""
    said = re.sub(r'"[^"]*("|$)', '"', text)
    for found in _CAPITALS.finditer(said):
        before = said[: found.start()].split()
        name = found[0].split()
        if not before and name[0].lower() in _OPENERS:
            name = name[1:]
        titled = before and before[-1].lower() in _BEFORE_TITLES
        if len(name) > 1 and not titled and not _NO_PERSON.search(found[0]):
            return True
    return bool(_CALLED.search(text)) or names_somebody(text)


def opens(text: str) -> bool:
    """Tell whether a sentence can be the first: it does not begin with "he", or "after that"."""
    lower = text.lower()
    words = words_of(lower)
    if len(words) < 3 or _DANGLING.match(words[0]) or _ADVERB_FIRST.match(lower):
        return False
    if re.match(_SOMEBODY, lower) or disagrees(text) or _ARTICLES.search(lower):
        return False
    if words[0] in _SUBORDINATE and ("," not in text or PRONOUN.search(" ".join(words[1:3]))):
        return False
    return not (_leans(lower) or _refers_back(lower))


def disagrees(text: str) -> bool:
    """Tell whether a sentence gives one person the verb of several, or the other way round."""
    return any(pattern.match(text.lower()) for pattern in _DISAGREES)


def _leans(lower: str) -> bool:
    """Tell whether somebody is "he" or "her" before anybody is told of."""
    pronoun = _PERSONAL.search(lower)
    return bool(pronoun and not _SOMEONE.search(lower, 0, pronoun.start()))


def _refers_back(lower: str) -> bool:
    """Tell whether somebody is "him" and only women are named before, or the other way round."""
    for pronoun in _HE_OR_SHE.finditer(lower):
        before = lower[: pronoun.start()]
        sex = "he" if pronoun[1] else "she"
        if _PERSONS[""].search(before) and not _PERSONS[sex].search(before):
            return True
    return False


def follows(before: str, after: str) -> bool:
    """Tell whether a sentence is understood right after another: "she" after "a woman"."""
    if stands_alone(after):
        return True
    if names_anybody(after):
        return False
    pattern = _NOUNS.get(words_of(after)[0])
    return bool(pattern and len(pattern.findall(before.lower())) == 1)


def alike(one: str, other: str) -> bool:
    """Tell whether two sentences share so many words that a question may mean either."""
    mine, others = set(words_of(one)), set(words_of(other))
    return len(mine & others) > 0.5 * min(len(mine), len(others))
