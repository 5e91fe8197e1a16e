"""The competitions of MLE-bench (arXiv:2410.07095): ids, splits, and metrics that are known here.

Data, no rules: what a competition's files are called stands in its config.yaml.
"""

from typing import Literal

Split = Literal["low", "medium", "high", "lite", "all", "dev", "demo"]

LOW = tuple(
    """
    aerial-cactus-identification aptos2019-blindness-detection denoising-dirty-documents
    detecting-insults-in-social-commentary dog-breed-identification
    dogs-vs-cats-redux-kernels-edition histopathologic-cancer-detection
    jigsaw-toxic-comment-classification-challenge leaf-classification mlsp-2013-birds
    new-york-city-taxi-fare-prediction nomad2018-predict-transparent-conductors
    plant-pathology-2020-fgvc7 random-acts-of-pizza ranzcr-clip-catheter-line-classification
    siim-isic-melanoma-classification spooky-author-identification
    tabular-playground-series-dec-2021 tabular-playground-series-may-2022
    text-normalization-challenge-english-language text-normalization-challenge-russian-language
    the-icml-2013-whale-challenge-right-whale-redux
    """.split()
)
MEDIUM = tuple(
    """
    AI4Code alaska2-image-steganalysis billion-word-imputation cassava-leaf-disease-classification
    cdiscount-image-classification-challenge chaii-hindi-and-tamil-question-answering
    champs-scalar-coupling facebook-recruiting-iii-keyword-extraction freesound-audio-tagging-2019
    google-quest-challenge h-and-m-personalized-fashion-recommendations herbarium-2020-fgvc7
    herbarium-2021-fgvc8 herbarium-2022-fgvc9 hotel-id-2021-fgvc8 hubmap-kidney-segmentation
    icecube-neutrinos-in-deep-ice imet-2020-fgvc7 inaturalist-2019-fgvc6 iwildcam-2020-fgvc7
    jigsaw-unintended-bias-in-toxicity-classification kuzushiji-recognition
    learning-agency-lab-automated-essay-scoring-2 lmsys-chatbot-arena
    multi-modal-gesture-recognition osic-pulmonary-fibrosis-progression petfinder-pawpularity-score
    plant-pathology-2021-fgvc8 seti-breakthrough-listen statoil-iceberg-classifier-challenge
    tensorflow-speech-recognition-challenge tensorflow2-question-answering
    tgs-salt-identification-challenge tweet-sentiment-extraction us-patent-phrase-to-phrase-matching
    uw-madison-gi-tract-image-segmentation ventilator-pressure-prediction
    whale-categorization-playground
    """.split()
)
HIGH = tuple(
    """
    3d-object-detection-for-autonomous-vehicles bms-molecular-translation
    google-research-identify-contrails-reduce-global-warming
    hms-harmful-brain-activity-classification iwildcam-2019-fgvc6 nfl-player-contact-detection
    predict-volcanic-eruptions-ingv-oe rsna-2022-cervical-spine-fracture-detection
    rsna-breast-cancer-detection rsna-miccai-brain-tumor-radiogenomic-classification
    siim-covid19-detection smartphone-decimeter-2022 stanford-covid-vaccine
    vesuvius-challenge-ink-detection vinbigdata-chest-xray-abnormalities-detection
    """.split()
)
DEV = tuple(
    """
    invasive-species-monitoring ml2021spring-hw2 movie-review-sentiment-analysis-kernels-only
    paddy-disease-classification plant-seedlings-classification playground-series-s3e18
    spaceship-titanic
    """.split()
)
DEMO = ("demo-breast-cancer", "demo-digits", "demo-diabetes")
"""What `demo.py` makes; no part of the benchmark."""
SPLITS: dict[Split, tuple[str, ...]] = {
    "low": LOW,
    "lite": LOW,
    "medium": MEDIUM,
    "high": HIGH,
    "all": (*LOW, *MEDIUM, *HIGH),
    "dev": DEV,
    "demo": DEMO,
}

METRICS: dict[str, str] = {
    "aerial-cactus-identification": "auc",
    "aptos2019-blindness-detection": "qwk",
    "dog-breed-identification": "multiclass_logloss",
    "dogs-vs-cats-redux-kernels-edition": "logloss",
    "histopathologic-cancer-detection": "auc",
    "jigsaw-toxic-comment-classification-challenge": "auc",
    "leaf-classification": "multiclass_logloss",
    "new-york-city-taxi-fare-prediction": "rmse",
    "nomad2018-predict-transparent-conductors": "rmsle",
    "plant-pathology-2020-fgvc7": "auc",
    "playground-series-s3e18": "auc",
    "random-acts-of-pizza": "auc",
    "ranzcr-clip-catheter-line-classification": "auc",
    "siim-isic-melanoma-classification": "auc",
    "spaceship-titanic": "accuracy",
    "spooky-author-identification": "multiclass_logloss",
    "tabular-playground-series-dec-2021": "accuracy",
    "tabular-playground-series-may-2022": "auc",
    "the-icml-2013-whale-challenge-right-whale-redux": "auc",
    "whale-categorization-playground": "map@5",
}
"""Metrics that `metrics.py` has, for competitions whose grader is not at hand."""

KNOWN_LEAKS = frozenset(
    {
        "random-acts-of-pizza",
        "multi-modal-gesture-recognition",
        "smartphone-decimeter-2022",
        "hubmap-kidney-segmentation",
    }
)
"""The benchmark says that public files of these give test labels away; report them apart."""


def complexity(competition: str) -> str:
    """`low`, `medium`, `high`, `dev`, or `other` for one that the benchmark does not have."""
    for name in ("low", "medium", "high", "dev"):
        if competition in SPLITS[name]:
            return name
    return "other"
