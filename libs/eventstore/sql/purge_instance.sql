insert into purged (instance) values ($1) on conflict do nothing
