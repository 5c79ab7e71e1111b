-- As much of darktable's Lua interface as the script uses, strict: any other name is an error.
-- arg: the script, the folder, preferences NAME=VALUE ..., "--", the selected files.

local script, folder = arg[1], arg[2]
local preferences, selected = {}, {}
local into = preferences
for place = 3, #arg do
  if arg[place] == "--" then
    into = selected
  elseif into == selected then
    selected[#selected + 1] = arg[place]
  else
    local name, value = arg[place]:match("^(%w+)=(.*)$")
    preferences[name] = value
  end
end

local function strict(name, fields)
  return setmetatable(fields, {
    __index = function(_, key) error(name .. " has no " .. tostring(key), 2) end,
  })
end

local kinds = { command = "string", format = "enum", options = "string" }
local defaults, action, shortcut = {}, nil, nil

local function image_of(path)
  local where, name = path:match("^(.*)/([^/]+)$")
  local image = { path = where, filename = name }
  image.group_leader = image
  function image:group_with(other) print("grouped " .. self.filename .. " with " .. other.filename) end
  return strict("image", image)
end

local dt = strict("darktable", {
  print = function(words) print("said " .. words) end,
  preferences = strict("preferences", {
    register = function(of, name, kind, label, tooltip, default, ...)
      assert(of == "ghostless" and kind == kinds[name] and label and tooltip, name)
      if kind == "enum" then
        local known = {}
        for _, value in ipairs({ ... }) do known[value] = true end
        assert(known[default] and (preferences[name] == nil or known[preferences[name]]))
      end
      defaults[name] = default
    end,
    read = function(of, name, kind)
      assert(of == "ghostless" and kind == kinds[name], name)
      return preferences[name] or defaults[name]
    end,
  }),
  configuration = strict("configuration", { running_os = "linux" }),
  control = strict("control", {
    execute = function(line)
      print("ran " .. line)
      local _, _, status = os.execute(line)
      return status
    end,
  }),
  database = strict("database", {
    import = function(path)
      assert(io.open(path, "rb"), path):close()
      print("imported " .. path)
      return image_of(path)
    end,
  }),
  gui = strict("gui", {
    action_images = {},
    libs = strict("libs", {
      image = strict("image", {
        register_action = function(name, label, callback, tooltip)
          assert(name == "ghostless" and label and tooltip)
          action = callback
        end,
        destroy_action = function(name) assert(name == "ghostless"); action = nil end,
      }),
    }),
  }),
  register_event = function(name, event, callback, tooltip)
    assert(name == "ghostless" and event == "shortcut" and tooltip)
    shortcut = callback
  end,
  destroy_event = function(name, event)
    assert(name == "ghostless" and event == "shortcut")
    shortcut = nil
  end,
})
package.preload["darktable"] = function() return dt end

local loaded = dofile(script)
local images = {}
for _, name in ipairs(selected) do
  images[#images + 1] = image_of(folder .. "/" .. name)
end
dt.gui.action_images = images
action("ghostless", images)
shortcut("shortcut", "key")
loaded.destroy()
assert(action == nil and shortcut == nil)
