select ix, fingerprint, first_position, last_position from refuse($1::int[], $2::uuid[])
