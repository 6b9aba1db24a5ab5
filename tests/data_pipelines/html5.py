"""Enough of an HTML reader to check a page."""

import base64
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "input", "br", "path", "rect"}


class Checked(HTMLParser):
  """Tags left open or closed out of turn, and the pictures within a page."""

  def __init__(self, text: str):
    super().__init__()
    self.open_tags: list[str] = []
    self.images: list[bytes] = []
    self.feed(text)

  def handle_starttag(self, tag, attributes):
    if tag == "img":
      data = dict(attributes)["src"].split("base64,")[1]
      self.images.append(base64.b64decode(data))
    if tag not in VOID:
      self.open_tags.append(tag)

  def handle_startendtag(self, tag, attributes):
    pass

  def handle_endtag(self, tag):
    if tag not in VOID:
      assert self.open_tags and self.open_tags[-1] == tag, (tag, self.open_tags[-3:])
      self.open_tags.pop()
