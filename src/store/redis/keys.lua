local done, due, dead, event, data, attempts, why, people, feed, claims = unpack(KEYS)
