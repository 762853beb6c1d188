"""Pure functions over pictures: decoding, hashing, quality, boxes, masks, preprocessing."""
