if not unchanged(1) then return 'changed' end
rewrite(1)
return 'merged'
