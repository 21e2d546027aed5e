"""How to train: every setting of a run that is not the model's."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from pipeline.config import setting
from pipeline.learning.metric_losses import MetricChoice
from pipeline.learning.units import Level

WITHOUT_FOLDS = ("train_split", "dev_split", "test_split", "dev_is_test", "smoke")


@dataclass(frozen=True)
class TrainConfig:
    """How to train. The defaults were chosen on MELD's dev split with frozen sentence features."""

    epochs: int = setting(60, "passes over the training clips at most; early stopping ends most runs sooner")
    batch_size: int = setting(128, "clips in a batch; a small training set is cut into at least ten batches")
    lr: float = setting(1e-3, "learning rate of AdamW at the start; halved on a plateau")
    weight_decay: float = setting(1.0, "decoupled weight decay of AdamW")
    class_weights: Literal["none", "sqrt", "inverse"] = setting(
        "sqrt", "weight of a class in the loss by its rarity; sqrt gains macro F1 without losing weighted F1")
    label_smoothing: float = setting(0.05, "share of the target spread over all classes")
    gradient_clip: float = setting(1.0, "greatest norm of the gradient")
    value_loss: Literal["ccc", "mse"] = setting("ccc", "loss of regressions: 1 − concordance, or mean squared error")
    metric_loss: MetricChoice = setting(
        "none", "loss on distances between clips, added to the first task's: triplet, emotion_relation (margins grow"
        " with the distance between emotions on the circle of pleasure and arousal) or centre")
    metric_weight: float = setting(0.5, "weight of the metric loss beside the cross-entropy")
    mixup: float = setting(0.0, "parameter of the Beta distribution by which training clips are blended in pairs; 0:"
                           " none")
    modality_dropout: float = setting(
        0.0, "chance that what is said, heard or seen is withheld from a training clip, which keeps one of them always;"
        " makes a model that bears missing modalities")
    plateau: int = setting(3, "epochs without a better dev score before the learning rate halves")
    patience: int = setting(12, "epochs without a better dev score before training ends")
    select_by: str = setting("auto", "dev metric of the first task that chooses the epoch; auto: weighted_f1 or ccc")
    seeds: int = setting(1, "how many networks, from seed, seed + 1, …; results are mean ± sd")
    seed: int = setting(0, "first seed: weights, order of clips, dropout, carving of dev")
    together: bool = setting(True, "train the networks of all seeds at once where the model can: the same results but"
                             " for rounding")
    train_split: str = setting("train", "split to learn from")
    dev_split: str = setting("dev", "split that chooses the epoch; carved from train by group where it is absent")
    test_split: str = setting("test", "split that is scored once, at the end")
    dev_fraction: float = setting(0.0, "share of the training groups that becomes dev where the corpus has none; 0: as"
                                  " the corpus says, a fifth for most")
    init: str = setting("", "start from a run's network, or an imported one's start.pt, in place of chance; its inputs"
                        " keep the means and deviations that it learnt with")
    train_hours: float = setting(0.0, "learn from a random part of the training clips that lasts so long at most, group"
                                 " after group by seed; 0: from all")
    folds: str = setting("", "protocol by which clips are divided instead: a name of the corpus, leave-one-group-out,"
                         " N-group-folds, random, or a CSV file of groups and folds")
    level: Level = setting("auto", "answer for whole clips (utterance), or for each of their rows (frame); auto: as the"
                           " model and the tasks are made")
    clock: str = setting("", "feature whose rows are answered for; by default frame_labels where stored, else the first"
                         " input")
    batch_rows: int = setting(4096, "rows in a batch of a frame model at most, padding included")
    fold_dev: Literal["auto", "next", "carved"] = setting(
        "auto", "clips that choose a fold's epoch: those that the next fold tests, or carved from its training clips by"
        " group; auto: as the protocol says")
    normalise: Literal["train", "speaker"] = setting(
        "train", "standardise by the training clips, or each speaker's clips by all of that speaker's own, the tested"
        " ones too: transductive")
    dev_is_test: bool = setting(False, "choose the epoch on the test split, and stamp every result so")
    allow_leaks: bool = setting(False, "train although a group or a file stands in two splits")
    baselines: bool = setting(True, "score the majority, logistic regression, TF-IDF and trivial cues beside the model")
    smoke: bool = setting(False, "one batch, one epoch, one seed: does it run at all?")
    threads: int = setting(1, "CPU threads of torch; small batches gain nothing from more, and sums would depend on it")
    device: str = setting("auto", "auto, cpu or cuda:N", machine=True)

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "batch_rows", "seeds", "patience", "threads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is at least 1, found {getattr(self, name)}")
        if self.lr <= 0 or self.gradient_clip <= 0:
            raise ValueError("lr and gradient_clip are above 0")
        if self.metric_weight <= 0:
            raise ValueError(f"metric_weight is above 0, found {self.metric_weight:g}; metric_loss=none adds none")
        if self.train_hours < 0:
            raise ValueError(f"train_hours is at least 0, found {self.train_hours:g}")
        if self.init and self.normalise == "speaker":
            raise ValueError("init: the network is used to the means and deviations it learnt with, which"
                             " normalise=speaker would replace; leave one of them out")
        if self.mixup < 0:
            raise ValueError(f"mixup is at least 0, found {self.mixup:g}")
        if not 0 <= self.modality_dropout < 1:
            raise ValueError(f"modality_dropout is in [0, 1), found {self.modality_dropout:g}")
        if self.mixup and self.metric_loss != "none":
            raise ValueError(f"mixup={self.mixup:g}: blended clips have no one label by which metric_loss could part"
                             " them; metric_loss=none goes with it")
        if not (0 <= self.label_smoothing < 1 and 0 <= self.dev_fraction < 1):
            raise ValueError("label_smoothing and dev_fraction are in [0, 1)")
        own = {field.name: field.default for field in fields(self)}
        if self.folds and any(getattr(self, name) != own[name] for name in WITHOUT_FOLDS):
            raise ValueError(f"folds={self.folds} divides all clips anew; leave out {', '.join(WITHOUT_FOLDS)}")
