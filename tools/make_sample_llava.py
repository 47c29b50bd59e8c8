"""Make samples/llava: photographs with conversations about them, in the layout of LLaVA-Instruct.

Run it again to get the same files.
"""

import json

from sample_media import SAMPLES, photograph, save

HOME = SAMPLES / "llava"
SIDE = 300

ORIGINS = {
    9000001: ("cat", "Chelsea the cat, by Stefan van der Walt", "CC0 1.0"),
    9000002: ("coffee", "a cup of coffee, by Rachel Michetti, Pikolo Espresso Bar", "CC0 1.0"),
    9000003: ("cameraman", "a man with a camera, by Lav Varshney", "CC0 1.0"),
    9000004: ("rocket", "Falcon 9 with DSCOVR, 2015, by SpaceX", "public domain"),
    9000005: ("astronaut", "Eileen Collins, 1992, by NASA", "public domain"),
}

Turns = list[tuple[str, str]]

CONVERSATIONS: list[tuple[int, Turns]] = [
    (
        9000001,
        [
            ("<image>\nWhich animal is this?", "It is a cat, seen from very close."),
            ("What colour are its eyes?", "Its eyes are a yellowish green."),
            ("Is the cat looking straight at the camera?", "No, it is looking past the camera."),
        ],
    ),
    (
        9000002,
        [
            ("What colour are the cup and the saucer?\n<image>", "Both are a brownish red."),
            ("What lies on the saucer beside the cup?", "A small metal spoon lies there."),
            ("What are the cup and saucer standing on?", "They stand on a wooden table."),
        ],
    ),
    (
        9000003,
        [
            (
                "<image>\nWhat is the man looking through?",
                "He is looking through a camera that is mounted on a tripod.",
            ),
            ("Is this a colour photograph?", "No, it is black and white."),
        ],
    ),
    (
        9000004,
        [
            (
                "<image>\nWhat stands in the middle of the picture?",
                "A tall white rocket stands upright on its launch pad.",
            ),
            ("What surrounds it?", "There are several lattice towers around it."),
        ],
    ),
    (
        9000005,
        [
            ("<image>\nWhat is the woman wearing?", "She is wearing an orange space suit."),
            ("Where is her helmet?", "It is at the lower right, in front of her."),
        ],
    ),
]
DETAILS: list[tuple[int, Turns]] = [
    (
        9000002,
        [
            (
                "<image>\nDescribe this picture in detail.",
                (
                    "A brownish red cup with a white inside stands on a saucer of the same "
                    "colour. The coffee in it stays well below the rim. A small metal spoon "
                    "rests on the saucer beside the cup.\n\n"
                    "The wooden table under them is reddish brown, and its grain can be seen "
                    "clearly."
                ),
            )
        ],
    ),
    (
        9000005,
        [
            (
                "What can be seen here? Take your time.\n<image>",
                (
                    "A smiling woman with short hair poses in an orange space suit. Behind her, "
                    "on the left, hangs a flag with stars and stripes. On the right stands a "
                    "model of a space shuttle, and in front of her is a white helmet with a "
                    "dark visor."
                ),
            )
        ],
    ),
]
REASONINGS: list[tuple[int, Turns]] = [
    (
        9000003,
        [
            (
                "<image>\nWhy might the man have put his camera on a tripod?",
                (
                    "A tripod holds the camera still. That keeps the pictures sharp and lets "
                    "him frame them with care, which is hard to do with a camera held in the "
                    "hands."
                ),
            )
        ],
    ),
    (
        9000004,
        [
            (
                "<image>\nAt what time of day may this have been taken?",
                (
                    "It was probably taken around dusk or dawn: the sky is dark blue with a "
                    "paler band near the horizon, and the lights on the ground are switched on."
                ),
            )
        ],
    ),
]
FILES = {
    "conversation_58k.json": CONVERSATIONS,
    "detail_23k.json": DETAILS,
    "complex_reasoning_77k.json": REASONINGS,
}

LICENSES = """# The photographs of this sample

All come from `samples/coco`, scaled by `tools/make_sample_llava.py`. The conversations were written
for this project and are, like it, under the MIT licence.

| file | what it is | licence |
|---|---|---|
"""


def main() -> None:
    """Write the photographs, the conversations and the licences."""
    rows = []
    for number, (name, what, licence) in ORIGINS.items():
        path = f"train2017/{number:012d}.jpg"
        save(photograph(name, SIDE), HOME / path)
        rows.append(f"| `{path}` | {what} | {licence} |\n")
    for file, said in FILES.items():
        records = [
            {
                "id": f"{number:012d}",
                "image": f"{number:012d}.jpg",
                "conversations": [
                    {"from": speaker, "value": text}
                    for turn in turns
                    for speaker, text in zip(("human", "gpt"), turn, strict=True)
                ],
            }
            for number, turns in said
        ]
        (HOME / file).write_text(json.dumps(records, indent=1) + "\n")
    (HOME / "licence.txt").write_text("CC0-1.0 or public domain\n")
    (HOME / "LICENSES.md").write_text(LICENSES + "".join(rows))


if __name__ == "__main__":
    main()
