"""What the reasons for which something is turned away mean, in plain words."""

_PICTURES = {
    "after-the-end": "a moment after the end of its video",
    "damaged": "the picture does not decode",
    "dark-frame": "a frame that is nearly black",
    "decoder-crash": "the decoder died over the file, twice",
    "decoder-hang": "the decoder gave no verdict in time, twice",
    "duplicate-frame": "a frame like the one before it",
    "empty-file": "the file has no bytes",
    "file-too-large": "the file is larger than is read",
    "image-id-conflict": "two different pictures have one id",
    "licence-not-allowed": "a picture of a licence that was not asked for",
    "missing-file": "there is no such file",
    "no-frames": "a video without a frame",
    "no-times": "a video that does not say when its frames are shown",
    "no-video": "a file of sound, or of a cover only",
    "not-a-file": "a directory, a pipe or the like",
    "not-a-video": "no video, or one that cannot be opened",
    "not-an-image": "no picture of a format that is read",
    "out-of-memory": "decoding it takes too much memory",
    "too-few-frames": "a clip with fewer frames than its scene needs",
    "too-many-frames": "more frames are asked of a video than are cut",
    "too-many-pixels": "the picture is larger than is decoded",
    "truncated": "the file ends before the picture does",
    "undecodable-moment": "the frame of that moment does not decode",
    "unknown-codec": "there is no decoder for the video",
    "unreadable-file": "the file cannot be read",
    "unsafe-path": "the name leads out of the directory of the pictures",
}

_TEXTS = {
    "annotation-leak": "it speaks of the annotations instead of the picture",
    "control-character": "it holds control characters",
    "duplicate-instruction": "the scene has that question already",
    "empty": "the question or the answer has no word",
    "refusal": "it declines to answer",
    "special-token": "it holds a token that trainers reserve, such as an image's",
}

REASONS = {
    "annotations": {
        "duplicate-caption": "the picture has that caption already",
        "duplicate-image-id": "two entries have one image id; the first stays",
        "duplicate-scene": "two scenes have one id; the first stays",
        "empty-box": "a box that covers nothing of its picture",
        "empty-caption": "a caption without text",
        "malformed-box": "a box that is not four numbers",
        "malformed-record": "a record that is not of the format",
        "no-box": "an object without a box",
        "no-content": "neither a caption nor an object",
        "no-file-name": "an entry that names no file",
        "no-image-id": "an entry without an id",
        "size-mismatch": "boxes for a picture of another shape than this one",
        "unknown-category": "an object of a category that is not listed",
        "unknown-image": "an annotation of a picture that is not listed",
    },
    "media": _PICTURES,
    "split": {"near-held-out": "it looks like a picture of the validation or the test split"},
    "templates": {"nothing-to-say": "no annotation supports a question"},
    "prompt": {
        "nothing-to-say": "no annotation, and the model does not see the picture",
        "too-long": "annotations too long to be asked about",
    },
    "reply": {
        "empty-reply": "the reply holds nothing",
        "refusal": "the model declined",
        "truncated": "the reply was cut off before its end",
        "unparsable": "the reply is not of the form that was asked for",
    },
    "checks": _TEXTS,
}
"""What each reason means, by the stage that gives it."""
