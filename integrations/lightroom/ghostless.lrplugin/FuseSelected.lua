--[[
The menu item: the selected photos as they are on the disk, RAW or JPEG, become one picture beside
them.
]]

local LrApplication = import "LrApplication"
local LrDialogs = import "LrDialogs"
local LrPathUtils = import "LrPathUtils"
local LrTasks = import "LrTasks"

local Fuse = require "Fuse"

LrTasks.startAsyncTask(function()
  local photos = LrApplication.activeCatalog():getTargetPhotos()
  local files = {}
  for _, photo in ipairs(photos) do
    files[#files + 1] = photo:getRawMetadata("path")
  end
  local settings = {
    command = Fuse.setting("command"),
    format = Fuse.setting("format"),
    options = Fuse.setting("options"),
  }
  table.sort(files)
  if #files < 2 then
    LrDialogs.message("Ghostless", "Select the two or more photos of one bracket.", "info")
    return
  end
  local out = Fuse.freeName(LrPathUtils.parent(files[1]), files[1], settings.format)
  local problem = Fuse.files(files, out, settings)
  if problem then
    LrDialogs.message("Ghostless", problem, "critical")
    return
  end
  Fuse.bringBack(out, photos[1])
end)
