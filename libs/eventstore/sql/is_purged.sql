select 1 from purged where instance = $1
