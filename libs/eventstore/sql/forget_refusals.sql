delete from refusals where at < $1
