deny(1)
