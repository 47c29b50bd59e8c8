"""Otter's text of an example set: what it says, where the loss falls, what is left when it is long.

Tokenizers are trained on a few lines here, or come in the wheel of wordllama.
"""

import functools
import importlib.util
import pickle
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tokenizers import (
    AddedToken,
    Encoding,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

import mimicit
from mimicit.checks import HIDDEN, SPECIAL_TOKENS
from mimicit.encoders.static import TOKENIZER
from mimicit.errors import UsageError
from mimicit.example_sets import ExampleSet, Shown, example_sets
from mimicit.formats.otter import IGNORED, SPECIAL, Encoder, render

LINES = [
    "User: What is it that stands in the picture? GPT: It is a dog.",
    "User: Which of the two is larger? GPT: The tower; it's on the left.",
    "How many people are there? At least 3, and 1 horse.",
]


def shown(number: int, answer: str = "", pictures: int = 1) -> Shown:
    images = tuple(f"T_IMG_{number}_{n}" for n in range(pictures))
    return Shown(f"T_INS_{number}", f"What is it, {number}?", answer or f"It is {number}.", images)


def example_set(*every: Shown) -> ExampleSet:
    said = {"split": "train", "source": "toy", "scene_id": "1", "kind": "what", "language": "en"}
    return ExampleSet(every[:-1], every[-1], **said)


def trained(
    model: models.Model, trainer: trainers.Trainer, cutter: pre_tokenizers.PreTokenizer
) -> Tokenizer:
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = cutter
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer


def byte_level() -> Tokenizer:
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=330, initial_alphabet=alphabet, show_progress=False)
    made = trained(models.BPE(), trainer, pre_tokenizers.ByteLevel(add_prefix_space=False))
    made.decoder = decoders.ByteLevel()
    return made


def unigram(scheme: str) -> Tokenizer:
    trainer = trainers.UnigramTrainer(
        vocab_size=120, unk_token="<unk>", special_tokens=["<unk>"], show_progress=False
    )
    return trained(models.Unigram(), trainer, pre_tokenizers.Metaspace(prepend_scheme=scheme))


def wordpiece() -> Tokenizer:
    trainer = trainers.WordPieceTrainer(
        vocab_size=160, special_tokens=["[UNK]"], show_progress=False
    )
    model = models.WordPiece(unk_token="[UNK]")
    made = trained(model, trainer, pre_tokenizers.BertPreTokenizer())
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    return made


def llama() -> Tokenizer:
    spec = importlib.util.find_spec("wordllama")
    assert spec
    assert spec.origin
    return Tokenizer.from_file(str(Path(spec.origin).parent / TOKENIZER))


KINDS: dict[str, Callable[[], Tokenizer]] = {
    "byte-level BPE": byte_level,
    "unigram": lambda: unigram("always"),
    "unigram, first": lambda: unigram("first"),
    "wordpiece": wordpiece,
    "llama": llama,
}


@functools.cache
def tokenizer(kind: str = "byte-level BPE") -> Tokenizer:
    made = KINDS[kind]()
    made.add_special_tokens(list(SPECIAL))
    return made


def encoded(kind: str, each: ExampleSet) -> Encoding:
    """Encode the whole text at once."""
    return tokenizer(kind).encode(render(each).text, add_special_tokens=False)


def number(token: str) -> int:
    found = tokenizer().token_to_id(token)
    assert found is not None
    return found


# ---------------------------------------------------------------------- the text


def test_contexts_stand_before_the_query_in_the_original_s_words() -> None:
    made = render(example_set(shown(1), shown(2)))
    assert made.text == (
        "<image>User: What is it, 1? GPT:<answer> It is 1.<|endofchunk|>"
        "<image>User: What is it, 2? GPT:<answer> It is 2.<|endofchunk|>"
    )


def test_the_loss_falls_on_every_answer_and_the_end_of_its_chunk() -> None:
    made = render(example_set(shown(1), shown(2, "Two\nof them.")))
    parts = [made.text[start:end] for start, end in made.spans]
    assert parts == [" It is 1.<|endofchunk|>", " Two\nof them.<|endofchunk|>"]


def test_frames_of_one_video_share_one_image_token() -> None:
    made = render(example_set(shown(1, pictures=3), shown(2, pictures=2)))
    assert made.text.count("<image>") == len(made.media) == 2
    assert made.media == (("T_IMG_1_0", "T_IMG_1_1", "T_IMG_1_2"), ("T_IMG_2_0", "T_IMG_2_1"))


def test_a_dataset_s_examples_and_its_example_sets_give_the_same_text(sample: Path) -> None:
    dataset = mimicit.load(sample)
    for each, example in zip(example_sets(dataset), dataset[:3], strict=False):
        with_ids, with_pictures = render(each), render(example)
        assert (with_ids.text, with_ids.spans) == (with_pictures.text, with_pictures.spans)
        sizes = [[dataset.images[name].size for name in media] for media in with_ids.media]
        assert [[picture.size for picture in media] for media in with_pictures.media] == sizes


def test_every_image_token_of_the_sample_has_its_pictures(sample: Path) -> None:
    count = 0
    for each in example_sets(mimicit.load(sample)):
        made = render(each)
        assert made.media == tuple(one.image_ids for one in each.shown)
        assert made.text.count("<image>") == len(made.media) == len(each.contexts) + 1
        assert len(Encoder(tokenizer())(each).media) == len(made.media)
        count += len(each.contexts)
    assert count


@pytest.mark.parametrize("text", ["a <image> b", "<answer>", "end <|endofchunk|>", "</s> hi"])
def test_a_text_with_a_special_token_is_refused(text: str) -> None:
    good = shown(1)
    for bad in (
        Shown("T_INS_9", text, "Fine.", ("T_IMG_9",)),
        Shown("T_INS_9", "What?", text, ("T_IMG_9",)),
    ):
        for each in (example_set(bad, good), example_set(good, bad)):
            with pytest.raises(UsageError, match=r"T_INS_9.*meaning of its own"):
                render(each)
            with pytest.raises(UsageError, match=r"T_INS_9.*meaning of its own"):
                Encoder(tokenizer())(each)


def test_an_example_without_pictures_is_refused() -> None:
    with pytest.raises(UsageError, match="'T_INS_1' has no picture"):
        render(example_set(shown(1, pictures=0), shown(2)))


# -------------------------------------------------------------------- its tokens

published = st.text(min_size=1, max_size=30).filter(
    lambda text: not SPECIAL_TOKENS.search(text) and not HIDDEN.search(text)
)
wording = st.one_of(published, st.sampled_from(["<", "<imag", "e> x", " ", "GPT:", "endofchunk|>"]))
sets = st.lists(st.tuples(wording, wording), min_size=1, max_size=4).map(
    lambda pairs: example_set(
        *(Shown(f"T_INS_{n}", *pair, (f"T_IMG_{n}",)) for n, pair in enumerate(pairs))
    )
)


@pytest.mark.parametrize("kind", KINDS)
@given(each=sets)
def test_the_tokens_are_those_of_the_whole_text(kind: str, each: ExampleSet) -> None:
    made = Encoder(tokenizer(kind))(each)
    assert made.input_ids == encoded(kind, each).ids


@pytest.mark.parametrize("kind", KINDS)
@given(each=sets)
def test_the_labels_are_the_tokens_inside_the_spans(kind: str, each: ExampleSet) -> None:
    made, text = Encoder(tokenizer(kind))(each), render(each)
    inside = [
        any(first <= start and end <= last for first, last in text.spans)
        for start, end in encoded(kind, each).offsets
    ]
    expected = [
        token if told else IGNORED for token, told in zip(made.input_ids, inside, strict=True)
    ]
    assert made.labels == expected


@given(each=sets)
def test_the_labelled_tokens_spell_the_answers(each: ExampleSet) -> None:
    made = Encoder(tokenizer())(each)
    learned = [token for token in made.labels if token != IGNORED]
    spelled = tokenizer().decode(learned, skip_special_tokens=False)
    assert spelled == "".join(f" {one.answer}<|endofchunk|>" for one in each.shown)


def test_the_loss_does_not_fall_on_the_first_and_the_last_token() -> None:
    each = example_set(shown(1), shown(2))
    bare = Encoder(tokenizer())(each)
    end = number("<|endofchunk|>")  # even where they are tokens of an answer
    made = Encoder(tokenizer(), bos_id=end, eos_id=end)(each)
    assert made.input_ids == [end, *bare.input_ids, end]
    assert made.labels == [IGNORED, *bare.labels, IGNORED]


# ------------------------------------------------------------------- what is long

LONG = example_set(*(shown(n, f"It is {n}. " + "And so on. " * 9) for n in (1, 2, 3)), shown(4))


def as_the_original_does(
    each: ExampleSet, max_tokens: int
) -> tuple[Sequence[int], Sequence[str], int]:
    """Join everything, cut it on the right, and load the pictures of the query alone.

    So does `process_image_text_pair` with `IMAGE_TEXT_IN_CONTEXT`:
    https://github.com/Luodian/Otter, pipeline/mimicit_utils/mimicit_dataset.py
    """
    ids = encoded("byte-level BPE", each).ids[:max_tokens]
    return ids, each.query.image_ids, ids.count(number("<image>"))


def test_contexts_farthest_from_the_query_are_dropped_first() -> None:
    lengths = [len(Encoder(tokenizer())(example_set(one)).input_ids) for one in LONG.shown]
    for kept in range(1, 5):
        room = sum(lengths[-kept:])
        made = Encoder(tokenizer(), room)(LONG)
        assert made.input_ids == Encoder(tokenizer())(example_set(*LONG.shown[-kept:])).input_ids
        assert made.media == tuple(one.image_ids for one in LONG.shown[-kept:])
        assert made.dropped == 4 - kept
        if kept > 1:
            assert Encoder(tokenizer(), room - 1)(LONG).dropped == 5 - kept
            assert Encoder(tokenizer(), room, eos_id=0)(LONG).dropped == 5 - kept


def test_the_query_is_whole_where_the_original_loses_its_answer_and_the_contexts_pictures() -> None:
    room = len(Encoder(tokenizer())(LONG).input_ids) - 10
    theirs, pictures, image_tokens = as_the_original_does(LONG, room)
    text = tokenizer().decode(theirs, skip_special_tokens=False)
    assert "It is 4." not in text
    assert image_tokens == 4
    assert pictures == LONG.query.image_ids

    ours = Encoder(tokenizer(), room)(LONG)
    text = tokenizer().decode(ours.input_ids, skip_special_tokens=False)
    assert text.endswith("<image>User: What is it, 4? GPT:<answer> It is 4.<|endofchunk|>")
    assert len(ours.input_ids) <= room
    assert text.count("<image>") == len(ours.media) == 3
    assert ours.media == tuple(one.image_ids for one in LONG.shown[1:])


def test_a_query_that_is_too_long_by_itself_is_an_error_that_says_how_long_it_is() -> None:
    length = len(Encoder(tokenizer())(example_set(LONG.query)).input_ids)
    with pytest.raises(UsageError, match=f"'T_INS_4' has {length + 2} tokens .* is {length}:"):
        Encoder(tokenizer(), length, bos_id=0, eos_id=0)(LONG)


# -------------------------------------------------------------------- tokenizers


def test_a_tokenizer_without_the_special_tokens_is_told_how_to_add_them() -> None:
    bare = byte_level()
    with pytest.raises(UsageError, match=r"does not know <image>, .*add_special_tokens\(\["):
        Encoder(bare)
    bare.add_special_tokens(["<image>", "<|endofchunk|>"])
    with pytest.raises(UsageError, match=r"does not know <answer>;"):
        Encoder(bare)


def test_what_is_no_tokenizer_is_refused() -> None:
    with pytest.raises(UsageError, match="'object' is neither"):
        Encoder(object())  # type: ignore[arg-type]  # what a user may do


def test_a_tokenizer_that_pads_or_cuts_is_refused() -> None:
    pads, cuts = tokenizer.__wrapped__(), tokenizer.__wrapped__()
    pads.enable_padding(length=64)
    cuts.enable_truncation(8)
    for made in (pads, cuts):
        with pytest.raises(UsageError, match="Turn off its padding and truncation"):
            Encoder(made)


def test_a_tokenizer_that_begins_to_pad_later_is_refused_too() -> None:
    made = tokenizer.__wrapped__()
    encode = Encoder(made)
    for side in ("left", "right"):
        made.enable_padding(length=64, direction=side)
        with pytest.raises(UsageError, match=r"'T_INS_1': .* Turn off its padding"):
            encode(example_set(shown(1)))


def test_a_tokenizer_that_would_cut_the_whole_text_otherwise_than_its_parts_is_refused() -> None:
    made = llama()  # puts a mark before a text; tokens that are not special are looked for later
    made.add_tokens(list(SPECIAL))
    with pytest.raises(UsageError, match="does not divide the text"):
        Encoder(made)


def test_a_text_that_becomes_a_special_token_when_it_is_normalised_is_refused() -> None:
    made = byte_level()
    made.normalizer = normalizers.NFKC()
    made.add_tokens([AddedToken(token, normalized=True) for token in SPECIAL])
    wide = "\uff1canswer\uff1e"
    encode = Encoder(made)
    with pytest.raises(UsageError, match="'T_INS_1': the tokenizer does not divide"):
        encode(example_set(shown(1, wide)))


def test_an_encoder_can_be_handed_to_another_process() -> None:
    each = example_set(shown(1), shown(2))
    encode = Encoder(tokenizer(), 500)
    assert pickle.loads(pickle.dumps(encode))(each) == encode(each)


def test_pictures_stay_the_ones_of_the_example() -> None:
    picture = Image.new("RGB", (2, 2))
    query = mimicit.Example("T_INS_1", "What?", "A dot.", [picture, picture], [], {})
    assert Encoder(tokenizer())(query).media == ((picture, picture),)


def test_no_framework_is_imported() -> None:
    code = (
        "import sys, mimicit.formats.otter; heavy = {'torch', 'transformers', 'datasets', 'pandas'}"
        "; sys.exit(bool(heavy & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
