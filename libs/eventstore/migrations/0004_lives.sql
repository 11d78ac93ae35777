-- Why an instance takes no more events: closed for good, or its log and the copy of it contradict each other until an operator decides.
-- `life`: what the operator decided and the relay has yet to do: the copy begins anew behind `behind`; the one before went up to `lost`.
alter table closed add column why text not null default 'closed', add column life uuid, add column behind bigint, add column lost bigint;
