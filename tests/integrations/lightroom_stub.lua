-- As much of Lightroom's Lua interface as the plug-in uses, strict: any other name is an error.
-- arg: the plug-in's folder, "menu" or "export", the command, format, options, "--", the files.

local plugin, way = arg[1], arg[2]
local prefs = { command = arg[3], format = arg[4], options = arg[5] }
local files = { table.unpack(arg, 7) }
assert(arg[6] == "--")

local function strict(name, fields)
  return setmetatable(fields, {
    __index = function(_, key) error(name .. " has no " .. tostring(key), 2) end,
  })
end

local function exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

local function photo_of(path)
  return strict("LrPhoto", {
    path = path,
    getRawMetadata = function(self, key) assert(key == "path"); return self.path end,
  })
end

local photos = {}
for place, file in ipairs(files) do photos[place] = photo_of(file) end

local writing = false
local catalog = strict("LrCatalog", {
  getTargetPhotos = function() return photos end,
  withWriteAccessDo = function(_, title, work)
    assert(title)
    writing = true
    work()
    writing = false
  end,
  addPhoto = function(_, path, beside, position)
    assert(writing and exists(path) and position == "below")
    print("added " .. path .. " below " .. beside.path)
  end,
})

local modules = {
  LrApplication = strict("LrApplication", { activeCatalog = function() return catalog end }),
  LrDialogs = strict("LrDialogs", { message = function(_, words) print("said " .. words) end }),
  LrPrefs = strict("LrPrefs", { prefsForPlugin = function() return prefs end }),
  LrTasks = strict("LrTasks", {
    startAsyncTask = function(work) work() end,
    execute = function(line)
      print("ran " .. line)
      local _, _, status = os.execute(line)
      return status
    end,
  }),
  LrFileUtils = strict("LrFileUtils", {
    exists = function(path) return exists(path) and "file" end,
    readFile = function(path)
      local file = assert(io.open(path, "r"))
      local text = file:read("a")
      file:close()
      return text
    end,
    delete = os.remove,
    chooseUniqueFileName = function(path) return path .. tostring(os.time()) .. tostring({}):sub(8) end,
  }),
  LrPathUtils = strict("LrPathUtils", {
    child = function(folder, name) return folder .. "/" .. name end,
    leafName = function(path) return (path:gsub("^.*/", "")) end,
    parent = function(path) return (path:gsub("/[^/]*$", "")) end,
    removeExtension = function(path) return (path:gsub("%.[^./]*$", "")) end,
    getStandardFilePath = function(name) assert(name == "temp"); return os.getenv("TMPDIR") or "/tmp" end,
  }),
  LrView = strict("LrView", { bind = function(key) return { bound = key } end }),
}
function import(name) return assert(modules[name], "no module " .. name) end
local loaded = {}
function require(name)
  if loaded[name] == nil then loaded[name] = dofile(plugin .. "/" .. name .. ".lua") end
  return loaded[name]
end

-- `WIN_ENV` is nil outside Windows; any other global that nobody defined is a mistake.
setmetatable(_G, {
  __index = function(_, key)
    if key ~= "WIN_ENV" and key ~= "MAC_ENV" then error("no global " .. tostring(key), 2) end
  end,
  __newindex = function(_, key) error("a new global " .. tostring(key), 2) end,
})

local info = dofile(plugin .. "/Info.lua")
assert(info.LrToolkitIdentifier and info.LrPluginName and info.VERSION.major)
for _, item in ipairs(info.LrLibraryMenuItems) do assert(exists(plugin .. "/" .. item.file)) end

if way == "menu" then
  dofile(plugin .. "/" .. info.LrLibraryMenuItems[1].file)
  return
end
local service = dofile(plugin .. "/" .. info.LrExportServiceProvider.file)
local made = {}
local factory = {
  row = function(_, parts) made[#made + 1] = parts; return parts end,
  static_text = function(_, facts) return facts end,
  edit_field = function(_, facts) return facts end,
}
local settings = { command = prefs.command, format = prefs.format, options = prefs.options }
assert(#service.sectionsForTopOfDialog(factory, settings) == 1 and #made == 3)
prefs.command = "somebody else's"
local function renditions(_, how)
  assert(how.stopIfCanceled)
  local place = 0
  return function()
    place = place + 1
    if photos[place] == nil then return nil end
    local rendition = { photo = photos[place] }
    function rendition:waitForRender() return true, self.photo.path end
    return place, rendition
  end
end
service.processRenderedPhotos(nil, {
  propertyTable = settings,
  configureProgress = function(_, how)
    assert(how.title)
    return { isCanceled = function() return false end }
  end,
  renditions = renditions,
})
assert(prefs.command == settings.command, "what was set holds for the menu")
