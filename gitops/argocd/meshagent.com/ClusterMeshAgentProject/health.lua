-- Health of a project by its conditions: what kstatus, and so Flux, says of it too.
local hs = { status = "Progressing", message = "The operator has not looked at it yet" }
local status = obj.status
if status == nil or status.conditions == nil then
  return hs
end
local conditions = {}
for _, condition in ipairs(status.conditions) do
  conditions[condition.type] = condition
end
local ready = conditions["Ready"]
if ready == nil then
  return hs
end
local function is(condition, value)
  return condition ~= nil and condition.status == value
end
hs.message = ready.reason .. ": " .. (ready.message or "")
if status.observedGeneration ~= obj.metadata.generation then
  hs.message = "The operator has not looked at the latest change yet"
elseif is(conditions["Stalled"], "True") then
  hs.status = "Degraded"
elseif is(conditions["Reconciling"], "True") then
  hs.status = "Progressing"
elseif ready.status == "True" then
  hs.status = "Healthy"
elseif ready.status == "False" then
  hs.status = "Degraded"
end
return hs
