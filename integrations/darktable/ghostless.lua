--[[
Ghostless for darktable: fuses the selected photos into one picture and brings it back.

Adds a button to the module "actions on selection" of the lighttable, and a shortcut. The photos
themselves are fused, RAW or JPEG, as they are on the disk; the picture lies beside them, is
imported, and joins their group. How it is installed and set: README.md beside this file.
]]

local dt = require "darktable"

local NAME = "ghostless"
local LABEL = "fuse the bracket"
local FORMATS = { "jpg", "tif", "dng", "exr", "avif" }

local script = {}

-- ---- settings ----

dt.preferences.register(NAME, "command", "string", "ghostless: command",
  "the command, with its whole path if darktable does not find it", "ghostless")
dt.preferences.register(NAME, "format", "enum", "ghostless: format of the picture",
  "jpg and avif to show, tif to edit, dng to develop, exr for radiance", "jpg",
  table.unpack(FORMATS))
dt.preferences.register(NAME, "options", "string", "ghostless: more options",
  "such as --preset landscape, as 'ghostless fuse --help' tells them", "")

local function setting(name, kind)
  return dt.preferences.read(NAME, name, kind)
end

-- ---- words for the shell ----

local function on_windows()
  return dt.configuration.running_os == "windows"
end

function script.quoted(word)
  if on_windows() then
    return '"' .. word .. '"'  -- a name there holds no quotation mark
  end
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

local function path_of(image)
  local separator = on_windows() and "\\" or "/"
  return image.path .. separator .. image.filename
end

local function exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

-- A name beside the first photo that no file has.
function script.free_name(path, format)
  local stem = path:gsub("%.[^./\\]*$", "") .. "_fused"
  local name, number = stem .. "." .. format, 2
  while exists(name) do
    name, number = stem .. "_" .. number .. "." .. format, number + 1
  end
  return name
end

function script.command(paths, out, errors)
  local words = { script.quoted(setting("command", "string")), "fuse" }
  for _, path in ipairs(paths) do
    words[#words + 1] = script.quoted(path)
  end
  words[#words + 1] = "-o " .. script.quoted(out)
  local options = setting("options", "string")
  if options ~= "" then words[#words + 1] = options end
  words[#words + 1] = "--quiet 2> " .. script.quoted(errors)
  local line = table.concat(words, " ")
  return on_windows() and '"' .. line .. '"' or line
end

local function first_line(path)
  local file = io.open(path, "r")
  if not file then return nil end
  local line = file:read("l")
  file:close()
  return line
end

-- ---- fusing ----

-- Photos of one bracket, by name; duplicates of one photo count once.
local function files_of(images)
  local paths, seen = {}, {}
  for _, image in ipairs(images) do
    local path = path_of(image)
    if not seen[path] then
      seen[path] = true
      paths[#paths + 1] = path
    end
  end
  table.sort(paths)
  return paths
end

function script.fuse(images)
  local paths = files_of(images)
  if #paths < 2 then
    dt.print("ghostless: select the two or more photos of one bracket")
    return nil
  end
  local out = script.free_name(paths[1], setting("format", "enum"))
  local errors = os.tmpname()
  dt.print("ghostless: fusing " .. #paths .. " photos ...")
  local status = dt.control.execute(script.command(paths, out, errors))
  local reason = first_line(errors)
  os.remove(errors)
  if status ~= 0 or not exists(out) then
    dt.print(reason or "ghostless: the command did not run; set its whole path in preferences, lua options")
    return nil
  end
  local picture = dt.database.import(out)
  picture:group_with(images[1].group_leader)
  dt.print("ghostless: " .. picture.filename)
  return picture
end

-- ---- where it is found ----

local function fuse_selected()
  script.fuse(dt.gui.action_images)
end

dt.gui.libs.image.register_action(NAME, LABEL, function(_, images)
  script.fuse(images)
end, "fuse the selected photos by Ghostless")
dt.register_event(NAME, "shortcut", fuse_selected, "ghostless: " .. LABEL)

-- For the script manager.
function script.destroy()
  dt.gui.libs.image.destroy_action(NAME)
  dt.destroy_event(NAME, "shortcut")
end
script.metadata = {
  name = NAME,
  purpose = "fuse a bracket into one picture, aligned and free of ghosts",
}

return script
