-- Looks at the client in MeshAgent now.
if obj.metadata.annotations == nil then
  obj.metadata.annotations = {}
end
obj.metadata.annotations["meshagent.com/reconcile-requested-at"] = os.date("!%Y-%m-%dT%XZ")
return obj
