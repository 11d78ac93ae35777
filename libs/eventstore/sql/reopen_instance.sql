delete from closed where instance = $1 and why = 'closed'
