"""Multiple choice: likelihoods by hand, prompts, intervals, refusals; the evaluation harness where it is installed."""

import importlib.util
import json

import numpy as np
import pytest
from _models import torch, transformers

from luthier.base.errors import ArgumentError
from luthier.shrink import Question, read_questions, score_choices
from luthier.shrink.choices import harness, wilson


def small(positions=64):
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 32, "vocab_size": 256}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": positions}
    torch.manual_seed(0)
    config = transformers.LlamaConfig(**sizes, **heads, bos_token_id=0, eos_token_id=0, pad_token_id=0)
    model = transformers.LlamaForCausalLM(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4)  # so that answers differ clearly
    return model


def by_hand(model, context, option, longest):
    before, goal = list(context.encode()), list(f" {option}".encode())
    ids = (before + goal)[-(longest + 1) :]
    with torch.no_grad():
        said = torch.log_softmax(model(torch.tensor([ids[:-1]])).logits[0], -1)
    return sum(float(said[len(ids) - 1 - len(goal) + i, token]) for i, token in enumerate(goal))


QUESTIONS = [
    Question("one plus one is", ("two", "twelve", "no"), 0),
    Question("a" * 90, ("b", "c"), 1),  # longer than the model's positions
    Question("Answer:", tuple("ABCD"), 2),
]


def test_the_likeliest_answer_is_taken_as_by_hand():
    model = small()
    right = letters = 0
    for q in QUESTIONS:
        values = [by_hand(model, q.context, option, 64) for option in q.options]
        right += int(np.argmax(values)) == q.answer
        letters += int(np.argmax([v / len(o) for v, o in zip(values, q.options, strict=True)])) == q.answer
    found = score_choices(model, QUESTIONS, rows=2)
    assert (found.accuracy, found.normalised) == (right / 3, letters / 3)
    assert found.chance == pytest.approx((1 / 3 + 1 / 2 + 1 / 4) / 3)
    long = [Question("q", ("a" * 100, "b" * 90), 0)]  # answers longer than the model's positions count by their ends
    assert 0 <= score_choices(model, long).accuracy <= 1
    # answers turned so that each is the likeliest: all are right
    best = [int(np.argmax([by_hand(model, q.context, o, 64) for o in q.options])) for q in QUESTIONS]
    turned = [Question(q.context, q.options, b) for q, b in zip(QUESTIONS, best, strict=True)]
    assert score_choices(model, turned).accuracy == 1.0


def test_intervals():
    low, high = wilson(50, 100)
    assert (round(low, 4), round(high, 4)) == (0.4038, 0.5962)  # Wilson 1927, worked by hand
    assert wilson(0, 10)[0] == 0.0
    assert wilson(10, 10)[1] == pytest.approx(1.0)
    model = small()
    many = [QUESTIONS[2]] * 4
    assert not score_choices(model, many[:1]).beyond_chance
    assert "covers chance" in str(score_choices(model, many[:1]))


def test_tables_of_both_kinds_are_read(tmp_path):
    rows = [{"split": s, "subject": "world_facts", "question": f"q{i}?", "A": "1", "B": "2", "C": "3", "D": "4",
             "answer": i % 4} for i, s in enumerate(["dev", "test", "test"])]  # fmt: skip
    path = tmp_path / "mmlu.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = read_questions(path)
    assert len(found) == 2
    head = "The following are multiple choice questions (with answers) about world facts.\n\n"
    assert found[0] == Question(f"{head}q1?\nA. 1\nB. 2\nC. 3\nD. 4\nAnswer:", tuple("ABCD"), 1)
    other = tmp_path / "piqa.csv"
    other.write_text("goal,sol1,sol2,label\nopen it,pull,push,1\nclose it,pull,push,0\n")
    assert read_questions(other)[0] == Question("Question: open it\nAnswer:", ("pull", "push"), 1)
    assert len(read_questions(other, limit=1)) == 1


def test_other_tables_are_refused(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n1,2\n")
    head = "subject,question,A,B,C,D,answer,split\n"
    (tmp_path / "mmlu.csv").write_text(head + "x,why,1,2,3,4,B,validation\nx,why,1,2,3,4,2,validation\n")
    assert [q.answer for q in read_questions(tmp_path / "mmlu.csv", split="validation")] == [1, 2]
    with pytest.raises(ArgumentError, match=r"no row of split 'test'\. Allowed: one of 'validation'"):
        read_questions(tmp_path / "mmlu.csv")
    (tmp_path / "wrong.csv").write_text(head + "x,why,1,2,3,4,E,test\n")
    with pytest.raises(ArgumentError, match=r"answer='E'\. Allowed: A, B, C, D, or 0 to 3"):
        read_questions(tmp_path / "wrong.csv")
    with pytest.raises(ArgumentError, match=r"columns \['a', 'b'\]. Allowed: question, A, B, C, D, answer"):
        read_questions(path)
    with pytest.raises(ArgumentError, match="no such file"):
        read_questions(tmp_path / "none.csv")
    with pytest.raises(ArgumentError, match="questions: none"):
        score_choices(small(), [])


def byte_tokenizer(folder):
    """A tokenizer whose token numbers are bytes."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    letters = [*range(33, 127), *range(161, 173), *range(174, 256)]  # as byte-level tokenizers write bytes
    rest = [b for b in range(256) if b not in letters]
    written = {**{b: chr(b) for b in letters}, **{b: chr(256 + i) for i, b in enumerate(rest)}}
    made = Tokenizer(models.BPE(vocab={written[b]: b for b in range(256)}, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    pad = written[0]
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, pad_token=pad, eos_token=pad)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("lm_eval") is None, reason="lm-eval (extra eval) is not installed")
def test_the_harness_agrees(tmp_path):
    model = small(positions=256)
    words = ["pull it", "push", "turn it around", "lift", "burn", "wait for rain"]
    rng = np.random.default_rng(0)
    asked = [
        Question(f"Question: number {i}\nAnswer:", tuple(rng.choice(words, 2, replace=False)), int(rng.integers(2)))
        for i in range(40)
    ]
    asked += [Question(f"q{i}\nAnswer:", tuple("ABCD"), int(rng.integers(4))) for i in range(40)]
    tokenizer = byte_tokenizer(tmp_path)
    assert tokenizer("aé\n")["input_ids"] == list("aé\n".encode())
    own, theirs = score_choices(model, asked), harness(model, tokenizer, asked)
    assert theirs["acc"] == pytest.approx(own.accuracy)
    assert theirs["acc_norm"] == pytest.approx(own.normalised)
