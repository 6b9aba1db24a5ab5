"""Three pictures small enough to check by hand; the scores are pycocoevalcap's."""

REFERENCES = [
  ["a man riding a wave on top of a surfboard", "the surfer in a black wetsuit is riding a wave",
   "a person surfs on a small wave"],
  ["two dogs play in the snow", "a brown dog and a white dog are playing in the snow",
   "dogs running through deep snow it 's cold"],
  ["a red double-decker bus driving down a city street",
   "a bus -lrb- red -rrb- is parked on the street",
   "the city 's bus drives past a 3-story building"]]
HYPOTHESES = [
  "a man riding a wave on a surfboard", "two dogs are running in the snow",
  "a red bus driving down the street"]
ONE_EMPTY = [HYPOTHESES[0], "", HYPOTHESES[2]]
FIRST = [captions[0] for captions in REFERENCES]
