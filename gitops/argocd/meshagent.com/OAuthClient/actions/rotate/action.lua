-- Replaces the client by a new one: the client id changes, and sessions of the former one end with it.
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["meshagent.com/rotate-requested-at"] = os.date("!%Y-%m-%dT%XZ")
return obj
