"""Tune Hugging Face's Trainer: what is hopeless ends after an epoch, what is set aside goes on from its checkpoint.

    python examples/integrations/transformers_trainer.py

The model is a small BERT made from a configuration, the task is made up (does a certain token occur?): nothing is
downloaded. Needs transformers, torch and accelerate.
"""

import sys
from pathlib import Path

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

import luthier as lu
from luthier.integrations.transformers import LuthierCallback, hyperparameter_search

SPACE = lu.Space(
    learning_rate=lu.Float(1e-5, 1e-1, log=True, default=5e-5),
    warmup_steps=lu.Int(0, 30, default=0),
)


def rows(count, seed):
    draw = torch.Generator().manual_seed(seed)
    tokens = torch.randint(2, 12, (count, 8), generator=draw)
    occurs = (tokens == 5).any(1).long()
    return [{"input_ids": ids, "labels": label} for ids, label in zip(tokens, occurs, strict=True)]


TRAIN, VALID = rows(512, 0), rows(256, 1)


def model():
    torch.manual_seed(0)
    return BertForSequenceClassification(
        BertConfig(
            vocab_size=12,
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=64,
            num_labels=2,
        )
    )


def trainer(folder, callbacks=(), **options):
    arguments = TrainingArguments(
        str(folder),
        eval_strategy="epoch",
        save_strategy="no",
        num_train_epochs=4,
        per_device_train_batch_size=32,
        per_device_eval_batch_size=256,
        report_to=[],
        disable_tqdm=True,
        log_level="error",
        logging_strategy="no",
        use_cpu=not torch.cuda.is_available(),
        **options,
    )
    return Trainer(model_init=model, args=arguments, train_dataset=TRAIN, eval_dataset=VALID, callbacks=list(callbacks))


def train(run):
    callback = LuthierCallback(run)
    trainer(run.folder / "hf", [callback], **run.config).train(resume_from_checkpoint=callback.checkpoint)


def main(folder):
    study = lu.Study(
        SPACE,
        "eval_loss",
        scheduler={"name": "asha", "type": "promotion", "eta": 2},
        fidelity=("epoch", 1, 4),
        searcher="random",
        folder=folder / "study",
    )
    result = study.run(train, trials=6)
    print(result.best, f"; default: {result.default.metrics['eval_loss']:.3f}")

    best = hyperparameter_search(trainer(folder / "search"), SPACE, n_trials=3, searcher="random")
    print("as Trainer.hyperparameter_search:", best.hyperparameters, f"{best.objective:.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "hf-example"))
