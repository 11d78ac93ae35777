with stays as (update closed set life = null, behind = null, lost = null where instance = $1 and why = 'closed' and life is not null)
delete from closed where instance = $1 and why <> 'closed'
