--[[
What the menu and the export action share: the command, run on files; the picture, brought back.

Lightroom's Lua is 5.1. Everything here is called from a task.
]]

local LrApplication = import "LrApplication"
local LrFileUtils = import "LrFileUtils"
local LrPathUtils = import "LrPathUtils"
local LrPrefs = import "LrPrefs"
local LrTasks = import "LrTasks"

local Fuse = {}

local DEFAULTS = { command = "ghostless", format = "jpg", options = "" }

-- What is set for the plug-in, or the default.
function Fuse.setting(name)
  local value = LrPrefs.prefsForPlugin()[name]
  if value == nil or value == "" then return DEFAULTS[name] end
  return value
end

local function quoted(word)
  if WIN_ENV then
    return '"' .. word .. '"'  -- a name there holds no quotation mark
  end
  return "'" .. string.gsub(word, "'", "'\\''") .. "'"
end

-- A name in a folder, after a photo, that no file has.
function Fuse.freeName(folder, photo, format)
  local stem = LrPathUtils.removeExtension(LrPathUtils.leafName(photo)) .. "_fused"
  local name, number = LrPathUtils.child(folder, stem .. "." .. format), 2
  while LrFileUtils.exists(name) do
    name = LrPathUtils.child(folder, stem .. "_" .. number .. "." .. format)
    number = number + 1
  end
  return name
end

local function commandLine(files, out, errors, settings)
  local words = { quoted(settings.command), "fuse" }
  for _, file in ipairs(files) do
    words[#words + 1] = quoted(file)
  end
  words[#words + 1] = "-o " .. quoted(out)
  if settings.options ~= "" then words[#words + 1] = settings.options end
  words[#words + 1] = "--quiet 2> " .. quoted(errors)
  local line = table.concat(words, " ")
  return WIN_ENV and '"' .. line .. '"' or line
end

local function firstLine(path)
  if not LrFileUtils.exists(path) then return nil end
  local text = LrFileUtils.readFile(path)
  LrFileUtils.delete(path)
  return string.match(text or "", "[^\r\n]+")
end

-- Fuse files into one; returns nil, or why it could not be.
function Fuse.files(files, out, settings)
  if #files < 2 then
    return "Select the two or more photos of one bracket."
  end
  local temporary = LrPathUtils.getStandardFilePath("temp")
  local errors = LrFileUtils.chooseUniqueFileName(LrPathUtils.child(temporary, "ghostless.txt"))
  local status = LrTasks.execute(commandLine(files, out, errors, settings))
  local reason = firstLine(errors)
  if status ~= 0 or not LrFileUtils.exists(out) then
    return reason or "The command did not run. Set its whole path in the export dialog, at Ghostless."
  end
  return nil
end

-- Show a picture in the catalog, stacked below a photo.
function Fuse.bringBack(out, photo)
  local catalog = LrApplication.activeCatalog()
  catalog:withWriteAccessDo("Fuse the Bracket", function()
    catalog:addPhoto(out, photo, "below")
  end)
end

return Fuse
