-- IDs that are given out before an append: processes lease them in blocks, gaps are of no account. What is behind reality gives out
-- IDs that exist; whoever draws one looks, and draws again.
create table leases (
  instance int not null,
  name text not null,
  last bigint not null,
  primary key (instance, name)
) with (fillfactor = 50);
