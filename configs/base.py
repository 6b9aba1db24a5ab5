"""Keys that every experiment has, with a line on each; a config file changes some of them."""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
  c = ConfigDict()
  c.seed = 0  # of the initial weights, the order of records, dropout and augmentation
  c.task = "bidirectional"  # a file of mmjax/tasks
  c.init_from = ""  # published weights to start from (.ckpt, .pt, .npz), or another workdir
  c.encoder_from = ""  # weights of the picture encoder: a file, or "package"
  c.cpu_devices = 1  # devices that a CPU is split into; 2 may pay on 2 cores for large models
  c.profile = 0  # steps to trace into <workdir>/profile

  c.model = ConfigDict()
  c.model.name = "bttr"  # a file of mmjax/models; its sizes stand beside it

  c.data = ConfigDict()
  c.data.name = "crohme"  # a row of data_pipelines/datasets.py
  c.data.dir = ""  # prepared data sets; "" is $TFDS_DATA_DIR or ~/tensorflow_datasets
  c.data.train_split = "train"
  c.data.batch = 8  # pictures in a step, over all devices
  c.data.max_pixels = 0  # most canvas pixels in a step: wide pictures come fewer; 0: no limit
  c.data.max_buckets = 6  # most picture shapes to compile
  c.data.align = 16  # canvases are multiples of this
  c.data.scale = 1.0  # factor on every picture
  c.data.scale_range = (1.0, 1.0)  # of a random factor on top, in training
  c.data.low = (16, 16)  # smaller pictures are enlarged to this height or width
  c.data.high = (256, 1024)  # larger pictures are shrunk to this height and width
  c.data.max_area = 320_000  # records with more pixels are dropped (and wrong in evaluation)
  c.data.max_tokens = 200  # records with more tokens likewise
  c.data.resize = "fit"  # keeps proportions; "squash" and "crop" bring all to one canvas
  c.data.canvas = (256, 256)  # height and width of that canvas
  c.data.shorter = 0  # shorter side before "crop" cuts; 0: the larger side of the canvas
  c.data.interpolation = "area"  # or Pillow's "bilinear", "bicubic", as published weights expect
  c.data.texts = ""  # captions: "one" of a picture's an epoch, "each", or all as "references"
  # (decoded from one memory); "": formulas; without pairs, "none": pictures whose captions nobody
  # looks at in training, "corpus": sentences without pictures
  c.data.language = "en"  # of the captions: en, zh
  c.data.min_count = 5  # captions: times that a word of the vocabulary stands in training
  c.data.cache_features = False  # a frozen encoder sees each picture once, before training
  c.data.in_memory = False  # keep decoded pictures in memory
  c.data.threads = 2  # that load pictures
  c.data.prefetch = 4  # batches loaded ahead

  c.data.augment = ConfigDict()  # greatest random changes in training; 0 is none
  c.data.augment.rotate = 0.0  # degrees, less for long formulas
  c.data.augment.shear = 0.0  # sideways shift for each pixel of height
  c.data.augment.elastic = 0.0  # pixels that ink wanders
  c.data.augment.stroke = 0.0  # pixels that strokes widen on each side
  c.data.augment.brightness = 0.0  # share of the range of values
  c.data.augment.contrast = 0.0  # share of the differences from the mean
  c.data.augment.crop = 0.0  # share of each side cut off; photographs only
  c.data.augment.flip = False  # mirror every other picture; photographs only

  c.optim = ConfigDict()
  c.optim.name = "adamw"  # adamw, adadelta, sgd
  c.optim.lr = 1e-3
  c.optim.schedule = "warmup_cosine"  # warmup_cosine, constant
  c.optim.warmup_steps = 200
  c.optim.final_factor = 0.0  # rate at the end of the cosine, as a share of lr
  c.optim.weight_decay = 1e-4
  c.optim.clip = 0.0  # largest global norm of the gradient; 0: no limit
  c.optim.clip_value = 0.0  # largest value of an element of the gradient; 0: no limit
  c.optim.factors = ()  # (regular expression, factor): on the rate of parameters whose path it is
  # found in, "a/b/kernel"; the first that fits counts, and 0 freezes
  c.optim.b1 = 0.9  # adamw
  c.optim.b2 = 0.999  # adamw
  c.optim.rho = 0.9  # adadelta
  c.optim.momentum = 0.9  # sgd
  c.optim.eps = 1e-8
  c.optim.plateau_factor = 0.0  # on the rate when validation stops to gain; 0: never
  c.optim.plateau_patience = 10  # evaluations without a gain before that
  c.optim.ema = 0.0  # decay of averaged parameters, used in evaluation; 0: none
  c.optim.accumulate = 1  # parts of a batch computed one after the other

  c.train = ConfigDict()
  c.train.epochs = 100
  c.train.label_smoothing = 0.0  # captions: share of a target's weight spread over all words

  c.decode = ConfigDict()
  c.decode.strategy = "beam"  # "diverse": groups of hypotheses that differ; "sample": at random
  c.decode.beam = 10  # hypotheses a direction; 1 is greedy
  c.decode.max_length = 200  # tokens
  c.decode.length_penalty = 1.0  # exponent of the length
  c.decode.normalise = "sum"  # by it: both directions together (sum, BTTR), or each (CoMER)
  c.decode.groups = 1  # diverse: groups that the beam is divided into
  c.decode.diversity = 0.5  # diverse: cost of a word for each earlier hypothesis that takes it
  c.decode.samples = 5  # sample: texts a picture, the likeliest first
  c.decode.temperature = 1.0  # sample: divides the logits; 0 takes the likeliest word
  c.decode.top_k = 0  # sample: words to draw from, the likeliest; 0: all
  c.decode.top_p = 1.0  # sample: draw from the likeliest words that have this share together
  c.decode.min_length = 0  # tokens before a text may stop
  c.decode.no_repeat = 0  # no run of so many tokens twice in a text; 0: any
  c.decode.no_double = False  # no token twice in a row
  c.decode.ban_unknown = True  # <unk> is never written
  c.decode.grammar = False  # formulas: well-formed LaTeX alone

  c.evaluate = ConfigDict()
  c.evaluate.split = "validation"
  c.evaluate.every_epochs = 2
  c.evaluate.batch = 16
  c.evaluate.max_buckets = 4  # a decoder takes longer to compile than padding costs
  c.evaluate.metrics = ("exprate",)  # of mmjax/metrics/registry.py
  c.evaluate.metric = "exprate"  # selects the best checkpoints and drives the plateau
  c.evaluate.report_samples = 40  # pictures in the report of --mode=evaluate

  c.checkpoint = ConfigDict()
  c.checkpoint.every_steps = 1000
  c.checkpoint.keep = 2  # newest
  c.checkpoint.keep_best = 2  # by validation

  c.log = ConfigDict()
  c.log.every_steps = 20

  c.mesh = ConfigDict()
  c.mesh.data = -1  # devices along each axis; -1 takes the rest
  c.mesh.fsdp = 1
  c.mesh.model = 1
  return c
