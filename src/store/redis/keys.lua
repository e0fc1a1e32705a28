local done, due, dead, event, data, attempts, why, people, feed = unpack(KEYS)
