insert into closed (instance, at) values ($1, clock_timestamp()) on conflict do nothing
