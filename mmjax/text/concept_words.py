"""How captions say what detectors see: other English words, and Chinese ones.

Made for the words of `mmjax.infer.detectors`. The first Chinese word stands for the concept; it is
one that jieba does not cut.
"""

import functools

_ENGLISH = """
  person man woman boy girl child people kid lady guy baby toddler adult player
  player batter pitcher catcher skier snowboarder surfer skateboarder rider biker
  airplane plane jet aircraft
  antelope deer gazelle
  bag purse
  ball baseball basketball football volleyball
  beach seashore shore ocean
  bicycle bike
  bike bicycle
  bikini swimsuit
  boat canoe kayak sailboat raft
  bookcase bookshelf
  bread loaf
  car vehicle automobile
  couch sofa
  cow cattle bull calf
  crib cradle
  dog puppy
  donut doughnut
  duck mallard
  flower daisy blossom
  hamburger burger cheeseburger
  handbag purse bag
  hat sombrero
  horse pony
  jersey uniform
  lake pond
  motorcycle motorbike scooter moped
  mountain hill
  paddle oar
  phone cellphone telephone
  plant houseplant
  purse handbag
  racket racquet
  refrigerator fridge
  sheep ram lamb
  shoe sneaker
  shorts trunks
  sign signpost
  snowmobile
  store shop market
  stove range
  swimsuit bikini
  taxi cab
  television tv
  ski skier skiing
  sled sleigh
  sweater sweatshirt cardigan
  teddy bear
  trolley tram streetcar
  truck pickup lorry
  wolf coyote
"""
_CHINESE = """
  accordion 手风琴
  airplane 飞机 客机
  ambulance 救护车
  ant 蚂蚁
  antelope 羚羊 鹿
  apple 苹果
  apron 围裙
  backpack 背包 书包
  bag 包 袋子
  bagel 面包圈
  ball 球 足球 网球 篮球 棒球 排球
  balloon 气球 热气球
  banana 香蕉
  banjo 班卓琴
  bar 单杠
  barbell 杠铃 哑铃
  barn 谷仓
  barrel 桶 木桶
  basket 篮子
  bat 球棒 棒球棒
  bathtub 浴缸
  beach 沙滩 海滩 海边
  beam 平衡木
  bear 熊 小熊 黑熊
  beaver 海狸
  bed 床 大床 床上
  bee 蜜蜂
  beetle 甲虫
  bench 长椅 长凳
  bib 围兜
  bicycle 自行车 单车
  bike 自行车 单车
  bikini 比基尼 泳装
  bird 鸟 小鸟 鸟儿
  bison 野牛
  blanket 毯子 被子
  boat 船 小船 皮划艇 帆船
  book 书 书本
  bookcase 书架 书柜
  boot 靴子
  bottle 瓶子 瓶
  bow 弓箭
  bowl 碗
  bra 胸罩
  bread 面包
  bridge 桥 大桥
  broccoli 西兰花
  broom 扫帚
  bubble 泡泡 气泡
  bucket 水桶 桶
  buffalo 水牛
  burrito 卷饼
  bus 公交车 公共汽车 巴士 大巴车
  butterfly 蝴蝶
  cabbage 卷心菜
  cabinet 柜子 橱柜
  cake 蛋糕 生日蛋糕
  camel 骆驼
  camera 相机 照相机
  candle 蜡烛
  cap 泳帽 帽子
  car 汽车 轿车 车 赛车
  carousel 木马
  carrot 胡萝卜
  cart 马车 推车
  castle 城堡
  cat 猫 小猫
  cauliflower 花菜
  cello 大提琴
  chair 椅子
  cheetah 猎豹
  chicken 鸡
  church 教堂
  cliff 悬崖
  clock 钟表 时钟 钟
  coat 大衣 外套
  coffee 咖啡
  computer 电脑
  coral 珊瑚
  corn 玉米
  couch 沙发
  cow 牛 奶牛
  crab 螃蟹
  cream 冰淇淋
  crib 婴儿床
  crocodile 鳄鱼
  cucumber 黄瓜
  cup 杯子 咖啡杯
  dam 大坝
  desk 书桌 办公桌
  dishwasher 洗碗机
  diver 潜水员
  dog 狗 小狗 狗狗
  donut 甜甜
  dragonfly 蜻蜓
  drum 鼓
  dryer 吹风机
  duck 鸭子
  eagle 老鹰
  elephant 大象
  fence 栅栏 围栏
  fish 鱼
  flamingo 火烈鸟
  flower 花 鲜花 花朵
  flute 长笛
  fork 叉子 刀叉
  fountain 喷泉
  fox 狐狸
  frisbee 飞盘
  frog 青蛙
  geyser 间歇泉
  giraffe 长颈鹿
  glass 玻璃杯 酒杯
  glasses 眼镜 墨镜 太阳镜
  glove 手套
  goat 山羊
  goose 鹅
  gorilla 大猩猩
  gown 礼服 裙子
  grasshopper 蚱蜢
  greenhouse 温室
  groom 新郎
  guitar 吉他
  gun 枪
  hamburger 汉堡
  hammer 锤子
  hamster 仓鼠
  handbag 手提包 包
  harmonica 口琴
  harp 竖琴
  hat 帽子
  hay 干草
  helmet 头盔
  heron 苍鹭
  hippo 河马
  horn 号角
  horse 马 骏马
  hotdog 热狗
  hydrant 消防栓
  hyena 鬣狗
  jeans 牛仔裤
  jellyfish 水母
  jersey 球衣 运动服
  kangaroo 袋鼠
  keyboard 键盘
  kimono 和服
  kite 风筝
  knife 刀 刀叉
  koala 考拉
  lake 湖 湖边 湖面
  lamp 台灯 灯
  laptop 笔记本电脑
  lemon 柠檬
  leopard 豹子
  library 图书馆
  light 红绿灯 交通灯
  lion 狮子
  lizard 蜥蜴
  llama 羊驼
  lobster 龙虾
  mailbox 邮箱
  mask 面具
  maypole 柱子
  meerkat 獴
  meter 计时器
  microphone 麦克风 话筒
  microwave 微波炉
  mitten 手套
  monitor 显示器 屏幕
  monkey 猴子
  mosque 清真寺
  motorcycle 摩托车
  mountain 山 雪山 山脉
  mouse 鼠标
  mushroom 蘑菇
  necklace 项链
  orange 橙子 橘子
  ostrich 鸵鸟
  otter 水獭
  oven 烤箱
  owl 猫头鹰
  paddle 桨
  pajamas 睡衣
  palace 宫殿
  pan 锅 平底锅
  panda 熊猫
  parachute 降落伞
  parrot 鹦鹉
  pasta 面条
  patio 院子
  peacock 孔雀
  pelican 鹈鹕
  penguin 企鹅
  pepper 辣椒
  person 人 男人 女人 男孩 女孩 小男孩 小女孩 男子 女子 孩子 小孩 人们 男性 女性
  phone 手机 电话
  piano 钢琴
  pier 码头
  pig 猪
  pillow 枕头
  pineapple 菠萝
  pitcher 水壶
  pizza 披萨 比萨饼
  plant 植物 盆栽
  plate 盘子 餐盘
  player 运动员 棒球
  pole 柱子 杆子
  poncho 斗篷
  popsicle 冰棍
  pot 锅 茶壶
  pretzel 饼干
  pumpkin 南瓜
  purse 钱包 包
  puzzle 拼图
  rabbit 兔子
  racket 球拍 网球拍
  radio 收音机
  ray 黄貂鱼
  refrigerator 冰箱
  remote 遥控器
  restaurant 餐厅 餐馆
  robe 长袍
  rocket 火箭
  rooster 公鸡
  sandal 凉鞋
  sandwich 三明治
  saxophone 萨克斯
  scarf 围巾
  scissors 剪刀
  scorpion 蝎子
  seal 海狮 海豹
  shark 鲨鱼
  sheep 绵羊 羊
  shield 盾牌
  ship 轮船 船
  shoe 鞋 鞋子
  shorts 短裤 泳裤
  shovel 铲子
  sign 标志牌 标识牌 标志
  sink 水槽 洗手池
  skateboard 滑板
  ski 滑雪 滑雪板 滑雪者
  skirt 裙子
  skunk 臭鼬
  sled 雪橇
  sloth 树懒
  snail 蜗牛
  snake 蛇
  snorkel 潜水
  snowboard 滑雪板 单板 滑雪
  snowmobile 雪地车
  sock 袜子
  spider 蜘蛛
  spoon 勺子
  squash 南瓜
  squirrel 松鼠
  stage 舞台
  starfish 海星
  store 商店 超市
  stove 炉灶 灶台
  strawberry 草莓
  submarine 潜艇
  suit 西装
  suitcase 行李箱 箱子
  surfboard 冲浪板 冲浪
  swan 天鹅
  sweater 毛衣
  swimsuit 泳衣 泳装
  swing 秋千
  table 桌子 餐桌
  tank 坦克
  taxi 出租车
  teddy 泰迪熊 玩具
  television 电视 电视机
  temple 寺庙
  tent 帐篷
  theater 剧院
  tie 领带
  tiger 老虎
  toaster 烤面包机
  toilet 马桶 厕所
  toothbrush 牙刷
  toucan 巨嘴鸟
  towel 毛巾
  tower 塔 钟塔
  tractor 拖拉机
  train 火车 列车
  trolley 电车
  trombone 长号
  truck 卡车 货车
  trumpet 小号
  turtle 乌龟 海龟
  umbrella 雨伞 伞
  unicycle 独轮车
  uniform 制服
  vacuum 吸尘器
  valley 山谷
  van 面包车
  vase 花瓶
  violin 小提琴
  vulture 秃鹫
  wall 墙 墙壁
  washer 洗衣机
  watch 手表
  whale 鲸鱼
  wheel 车轮 轮子
  wig 假发
  wine 酒 红酒
  wolf 狼
  zebra 斑马
"""


class ConceptWordError(ValueError):
  """A concept without a word in a language."""


def chinese(concept: str) -> str:
  """The Chinese word for an English concept word.

  Raises:
    ConceptWordError: none is known.
  """
  if concept not in _rows("zh"):
    raise ConceptWordError(
        f"no Chinese word is known for the concept {concept!r}; add it to {__name__}"
    )
  return _rows("zh")[concept][0]


def said_as(concept: str, language: str) -> tuple[str, ...]:
  """The words by which sentences of a language say an English concept word; itself first.

  Raises:
    ConceptWordError: it has none in Chinese.
  """
  others = _rows(language).get(concept, ())
  if language == "en":
    return (concept, *others)
  return (chinese(concept), *others[1:])


@functools.cache
def _rows(language: str) -> dict[str, tuple[str, ...]]:
  table = {"en": _ENGLISH, "zh": _CHINESE}[language]
  rows = [line.split() for line in table.split("\n") if line.strip()]
  return {concept: tuple(others) for concept, *others in rows}
