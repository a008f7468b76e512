"""The names of the files that rules write, by kind."""

Number = int | str
"""Of a round, a fold or a seed: wildcards are text."""

FILES = {
    "mosaic": "<results>/mosaic.csv",
    "likeness": "<results>/adversarial.csv",
    "channels": "<results>/channels/{channels}/{part}.h5",
    "folds": "<results>/folds/{folds}.csv",
    "pretrained": "<results>/pretrained/{model}.safetensors",
    "weights": "<results>/models/{model}/round{round}/fold{fold}/{stage}.safetensors",
    "history": "<results>/models/{model}/round{round}/fold{fold}/{stage}.csv",
    "rates": "<results>/rates/{model}/{stage}.png",
    "predictions": "<results>/predictions/{member}/round{round}/fold{fold}/{part}.h5",
    "pseudo": "<results>/pseudo/{model}/round{round}/fold{fold}.h5",
    "components": "<results>/components/round{round}.h5",
    "decision": "<results>/decision/round{round}.json",
    "decision_of": "<results>/decision/{output}/round{round}.json",
    "blend_of": "<results>/blend/{output}/round{round}/{part}.h5",
    "elsewhere": "<results>/external/{output}/{member}/{part}.h5",
    "blend": "<results>/blend/round{round}/{part}.h5",
    "variant": "<results>/ablation/{variant}/seed{seed}.json",
    "curves": "<results>/figures/training/{model}_round{round}.svg",
    "augment": "<results>/figures/augment/{model}.png",
    "synthetic": "<results>/synthetic/competition",
    "truth": "<results>/synthetic/competition-truth.csv",
    "beside": "<results>/synthetic/competition-{beside}.csv",
}
"""Kind → the one name of such a file; rules write it after the same pattern."""

BENCHMARKS = {
    "weights": "results/{run}/benchmarks/train_stage/{model}/round{round}/fold{fold}/{stage}.txt",
    "oof": "results/{run}/benchmarks/predict_images/{member}/round{round}/fold{fold}/{part}.txt",
}
