"""Words of the 1000 classes of ImageNet, as a caption would name them: a beagle is a dog.

Classes whose difference no caption makes share a word; classes that are too rare, or named by words
of several meanings, have none. ImageNet has no people but for a ballplayer, a diver and a groom;
classes of clothing give words of clothing, not of who may wear it.
"""

import functools

# Numbers as in the published weights, by the order of WordNet's synsets.
_WORDS = """
  player 981
  diver 983
  groom 982
  dog 151-268 273 275
  cat 281-285
  fox 277-280
  wolf 269-272
  hyena 276
  leopard 288-290
  lion 291
  tiger 292
  cheetah 293
  bear 294-297
  panda 387 388
  meerkat 299
  rabbit 330-332
  hamster 333 338
  squirrel 335
  beaver 337
  horse 339
  zebra 340
  pig 341-343
  hippo 344
  cow 345
  buffalo 346
  bison 347
  sheep 348
  goat 349 350
  antelope 351-353
  camel 354
  llama 355
  otter 360
  skunk 361
  sloth 364
  gorilla 366
  monkey 365 367-384
  elephant 101 385 386
  kangaroo 104
  koala 105
  seal 150
  whale 147 148
  shark 2-4
  ray 5 6
  fish 0 1 389-397
  rooster 7
  chicken 8 83
  ostrich 9
  bird 10-20 80-82 85 86 91-95 127-129 132-143 146
  eagle 21 22
  vulture 23
  owl 24
  peacock 84
  parrot 87-90
  toucan 96
  duck 97 98
  goose 99
  swan 100
  flamingo 130
  heron 131
  pelican 144
  penguin 145
  lizard 25-29 38-48
  frog 30-32
  turtle 33-37
  crocodile 49 50
  snake 52-68
  scorpion 71
  spider 72-77
  beetle 300-307
  bee 309
  ant 310
  grasshopper 311 312
  dragonfly 319 320
  butterfly 321-326
  jellyfish 107
  coral 109 973
  snail 113
  crab 118-121 125
  lobster 122-124
  starfish 327
  airplane 404 895
  helmet 518 560
  boat 449 472 484 554 576 625 814 871 914
  ship 403 510 628 724 780
  submarine 833
  balloon 417
  bike 444 671 870
  motorcycle 665 670
  unicycle 880
  bus 654 779 874
  train 466 547 565 705 820
  trolley 829
  truck 555 569 675 717 864 867
  van 656 734 757
  ambulance 407
  taxi 468
  car 436 511 609 627 661 751 817
  cart 428 573 575 603 612 690
  tractor 595 730 856 866
  tank 847
  snowmobile 802
  sled 450 537
  parachute 701
  rocket 657 744 812
  paddle 693
  wheel 479
  light 920
  sign 919
  meter 704
  mailbox 637
  phone 487 528 707
  laptop 620 681
  computer 527
  keyboard 508 878
  mouse 673
  remote 761
  monitor 664 782
  television 851
  radio 754
  camera 732 759
  clock 409 530 892
  watch 531
  ball 429 430 522 574 722 768 805 852 890
  racket 752
  bar 602
  beam 416
  barbell 422 543
  ski 795
  snorkel 801
  swing 843
  maypole 645
  carousel 476
  backpack 414
  bag 636 728
  purse 748
  umbrella 879
  guitar 402 546
  piano 579 881
  violin 889
  cello 486
  drum 541
  trumpet 513
  saxophone 776
  trombone 875
  flute 558
  harp 594
  accordion 401
  banjo 420
  harmonica 593
  horn 566
  microphone 650
  gun 413 763 764
  bow 456
  shield 787
  mask 570 643 796
  gown 400 578 601 689
  kimono 614
  robe 399
  suit 834
  tie 457 906
  uniform 652
  coat 568 617 869
  sweater 474 841
  jersey 610
  shorts 842
  bikini 445
  swimsuit 638 639
  skirt 655 775
  jeans 608
  apron 411
  poncho 735
  pajamas 697
  bra 459
  cap 433 793
  hat 439 452 515 808
  wig 903
  scarf 552 824
  glasses 836 837
  sock 806
  shoe 502 630 770
  sandal 774
  boot 514
  mitten 658
  bib 443
  necklace 679
  bench 703
  chair 423 559 765 857
  couch 831
  bed 564
  crib 431 516 520
  desk 526
  table 532
  bookcase 453
  cabinet 495 648
  pillow 721
  blanket 750
  towel 434
  lamp 619 846
  candle 470
  bathtub 435 876
  toilet 861
  sink 896
  stove 827
  oven 544 766
  microwave 651
  toaster 859
  refrigerator 760
  dishwasher 534
  washer 897
  vacuum 882
  broom 462
  bucket 463
  barrel 427 756
  basket 588 790
  bottle 440 720 737 898 907
  glass 441 572
  cup 504 968
  pitcher 725 899
  coffee 967
  wine 966
  bowl 659 809
  plate 923
  pan 567 909
  pot 505 738 849
  spoon 910
  knife 499
  hammer 587
  shovel 792
  vase 883
  teddy 850
  puzzle 611
  pumpkin 607
  pizza 963
  hamburger 933
  hotdog 934
  burrito 965
  bread 930
  bagel 931
  pretzel 932
  cake 927
  cream 928
  popsicle 929
  pasta 959
  broccoli 937
  cauliflower 938
  cabbage 936
  cucumber 939 943
  squash 940-942
  pepper 945
  mushroom 947 992 997
  apple 948
  strawberry 949
  orange 950
  lemon 951
  pineapple 953
  banana 954
  corn 987
  hay 958
  flower 984-986
  fence 489 716 912
  wall 825
  bridge 821 839 888
  dam 525
  fountain 562
  pier 460 536
  barn 425
  church 497
  castle 483
  palace 698
  mosque 668
  temple 832
  tower 437 900
  greenhouse 580
  tent 672 915
  store 415 467 509 582 788 860 865
  restaurant 762
  library 454 624
  theater 498
  stage 819
  patio 706
  pole 557 733
  mountain 970 980
  cliff 972 976
  valley 979
  geyser 974
  lake 975
  beach 977 978
  bubble 971
"""


@functools.cache
def words() -> tuple[str, ...]:
  """The distinct words, in an order that puts who and what acts before where."""
  return tuple(word for word, _ in _rows())


@functools.cache
def word_of_class() -> dict[int, str]:
  """The word of each class that has one."""
  return {number: word for word, numbers in _rows() for number in numbers}


def _rows() -> list[tuple[str, list[int]]]:
  return [(word, [n for r in ranges for n in _range(r)])
          for word, *ranges in (line.split() for line in _WORDS.split("\n") if line.strip())]


def _range(text: str) -> range:
  first, _, last = text.partition("-")
  return range(int(first), int(last or first) + 1)
