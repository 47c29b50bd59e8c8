"""English nouns for the labels of annotations: articles, plurals, numbers, and other words for them.

Grammar is the library `inflect`'s. What is ours is the knowledge that keeps a template honest: by
which words a caption may already speak of a labelled thing, and which things are easily taken for
one another, so that neither is denied because the other was labelled.
"""

from functools import cache
from typing import cast

import inflect

_ENGLISH = inflect.engine()

MASS = frozenset({"broccoli", "bread", "cheese", "food", "furniture", "grass", "rice", "sand", "water"})
"""Nouns without a plural: "some broccoli"."""

PAIRS = frozenset({"binoculars", "glasses", "goggles", "jeans", "pants", "pliers", "scissors"}) | {
    "shorts",
    "skis",
    "sunglasses",
    "trousers",
    "tweezers",
}
"""Nouns of things that come in one pair: "a pair of skis"."""

PEOPLE = (
    "person man woman boy girl child kid baby toddler infant guy gentleman lady player batter pitcher "
    "catcher umpire referee skier snowboarder skateboarder surfer rider cyclist biker motorcyclist "
    "driver pedestrian passenger officer policeman cop soldier chef cook waiter worker farmer "
    "fisherman student teacher tourist couple family crowd group team audience bride groom adult "
    "teenager athlete jockey hiker dancer musician vendor spectator human people someone"
)

OTHER_WORDS: dict[str, str] = {
    "TV": "television tv screen monitor",
    "airplane": "plane jet aircraft airliner jetliner biplane",
    "apple": "fruit",
    "backpack": "bag pack bookbag luggage",
    "ball": "baseball football basketball softball volleyball",
    "banana": "fruit",
    "bed": "mattress bunk",
    "bicycle": "bike cycle",
    "bird": "duck goose seagull gull parrot owl pigeon hawk eagle chicken rooster swan crow penguin",
    "boat": "ship canoe kayak sailboat yacht ferry vessel raft barge",
    "book": "magazine novel bookshelf bookcase",
    "bottle": "wine beer drink",
    "bowl": "dish soup",
    "bus": "coach double-decker trolley",
    "cake": "cupcake dessert pastry",
    "car": "taxi cab suv sedan vehicle traffic automobile",
    "carrot": "vegetable veggie",
    "cat": "kitten kitty",
    "cell phone": "phone smartphone cellphone mobile iphone",
    "chair": "seat stool armchair recliner",
    "clock": "watch",
    "couch": "sofa loveseat",
    "cow": "cattle bull calf ox steer herd",
    "cup": "mug coffee tea glass drink",
    "dog": "puppy pup",
    "donut": "doughnut pastry",
    "elephant": "herd",
    "fire hydrant": "hydrant",
    "handbag": "purse bag luggage",
    "horse": "pony foal",
    "hot dog": "hotdog sausage",
    "laptop": "computer notebook",
    "motorcycle": "motorbike bike scooter moped",
    "orange": "fruit",
    "oven": "stove range",
    "person": PEOPLE,
    "potted plant": "plant flower houseplant tree",
    "refrigerator": "fridge freezer",
    "remote control": "remote controller wii",
    "sandwich": "burger hamburger sub toast",
    "sheep": "lamb ram ewe goat herd",
    "sink": "basin",
    "stop sign": "sign",
    "suitcase": "luggage bag baggage",
    "surfboard": "board surfing",
    "skateboard": "board skateboarding",
    "snowboard": "board snowboarding",
    "skis": "ski skiing",
    "table": "desk counter",
    "teddy bear": "bear stuffed teddy toy",
    "tennis racket": "racquet racket tennis",
    "tie": "necktie bowtie suit",
    "toilet": "urinal bathroom restroom",
    "traffic light": "stoplight light signal",
    "train": "locomotive engine tram",
    "truck": "pickup van lorry trailer",
    "vase": "pot flower",
    "wine glass": "glass wine",
}
"""By what other words a caption may speak of a labelled thing."""

LOOKALIKES: tuple[frozenset[str], ...] = tuple(
    frozenset(group.split(", "))
    for group in (
        "car, truck, bus, train, boat, airplane",
        "bicycle, motorcycle",
        "bottle, vase, wine glass, cup, bowl",
        "fork, knife, spoon, scissors",
        "chair, couch, bench, bed, toilet",
        "TV, laptop, microwave, oven, toaster, refrigerator",
        "cell phone, remote control, computer mouse, keyboard, book",
        "backpack, handbag, suitcase",
        "skis, snowboard, skateboard, surfboard",
        "frisbee, ball, kite, clock, umbrella",
        "baseball bat, tennis racket, baseball glove",
        "cake, donut, sandwich, pizza, hot dog",
        "apple, orange, banana, carrot, broccoli",
        "dog, cat, bear, teddy bear, sheep, cow, horse, elephant",
        "zebra, horse, giraffe",
        "table, bench, bed",
        "toilet, sink",
        "stop sign, traffic light, parking meter, fire hydrant",
    )
)
"""Things that annotators, and readers, easily take for one another."""

OVERLOOKED = frozenset(
    "person, book, bottle, bowl, chair, clock, cup, fork, handbag, hair dryer, keyboard, knife, potted "
    "plant, remote control, sink, spoon, table, tie, toothbrush, vase, backpack, cell phone, computer "
    "mouse, ball, car, wine glass, scissors, baseball glove, carrot, orange, apple, truck".split(", ")
)
"""Things so small, or so much part of the furniture, that they are often left unlabelled."""


SETTINGS: tuple[frozenset[str], ...] = tuple(
    frozenset(group.split(", "))
    for group in (
        "bed, couch, chair, table, TV, laptop, keyboard, computer mouse, remote control, cell phone, book, "
        "clock, vase, potted plant, microwave, oven, toaster, refrigerator, sink, toilet, cup, bowl, fork, "
        "knife, spoon, bottle, wine glass, cat, dog, teddy bear, cake, pizza, sandwich, donut, hot dog, "
        "banana, apple, orange, broccoli, carrot, hair dryer, toothbrush, scissors, umbrella",
        "car, truck, bus, train, motorcycle, bicycle, traffic light, stop sign, parking meter, fire hydrant, "
        "bench, handbag, backpack, suitcase, umbrella, skateboard, dog, bird, horse, airplane, boat, clock",
        "ball, baseball bat, baseball glove, tennis racket, frisbee, kite, surfboard, snowboard, skis, "
        "skateboard, boat, bird, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, airplane, bench, "
        "bicycle, umbrella, backpack",
    )
)
"""Things that are met together: at home and at table, in the street, in the open."""


def one(label: str) -> str:
    """Name one of a thing: "an umbrella", "a pair of skis", "some broccoli"."""
    if label in MASS:
        return f"some {label}"
    if label in PAIRS:
        return f"a pair of {label}"
    return cast("str", _ENGLISH.a(label))  # type: ignore[arg-type]  # inflect's own str type


@cache
def many(label: str) -> str:
    """Name several of a thing: "umbrellas", "pairs of skis", "pieces of broccoli"."""
    if label in MASS:
        return f"pieces of {label}"
    if label in PAIRS:
        return f"pairs of {label}"
    if label.isupper():
        return f"{label}s"
    return cast("str", _ENGLISH.plural_noun(label))  # type: ignore[arg-type]


def number(count: int) -> str:
    """Spell a number up to twelve, as prose does."""
    return str(count) if count > 12 else cast("str", _ENGLISH.number_to_words(count))  # type: ignore[arg-type]


def counted(label: str, count: int) -> str:
    """Name so many of a thing: "one dog", "two dogs"."""
    return f"{number(count)} {many(label)}" if count != 1 else f"one {one(label).partition(' ')[2]}"


def enumerate_nouns(phrases: list[str]) -> str:
    """Join phrases as prose does: "a dog, two cats and a couch"."""
    if len(phrases) < 2:
        return "".join(phrases)
    return f"{', '.join(phrases[:-1])} and {phrases[-1]}"


@cache
def words_for(label: str) -> tuple[frozenset[str], frozenset[str]]:
    """List the words by which a caption may speak of a thing: (one of it, several of it).

    Lower case. The last word of a label counts by itself: a "teddy bear" may be called a bear.
    """
    singles = {label.lower(), label.lower().split()[-1], *OTHER_WORDS.get(label, "").split()}
    plurals = {many(word).lower() for word in singles if word not in MASS | PAIRS}
    return frozenset(singles), frozenset(plurals - singles | ({"people"} if label == "person" else set()))


def speaks_of(words: frozenset[str], label: str) -> bool:
    """Tell whether any word may mean a thing, spelled as it may be: "skiis", "bookshelf"."""
    names = frozenset.union(*words_for(label))
    stems = tuple(name for name in names if len(name) >= 3)
    return bool(words & names) or any(word.startswith(stems) for word in words)


def same_setting(labels: frozenset[str]) -> frozenset[str]:
    """List what might well be where these things are; empty where that is not known."""
    return max(SETTINGS, key=lambda group: len(group & labels), default=frozenset()) if labels else labels


def lookalikes(label: str) -> frozenset[str]:
    """List what a thing is easily taken for, itself included."""
    return frozenset({label}).union(*(group for group in LOOKALIKES if label in group))
