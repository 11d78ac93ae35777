select why from closed where instance = $1
