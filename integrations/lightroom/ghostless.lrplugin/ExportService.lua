--[[
The export action: the photos as Lightroom has developed them become one picture beside the first.

For RAW photos the menu item is better: it fuses what the sensor has seen. In the export dialog the
command, the format and more options are set for both.
]]

local LrDialogs = import "LrDialogs"
local LrPathUtils = import "LrPathUtils"
local LrPrefs = import "LrPrefs"
local LrView = import "LrView"

local Fuse = require "Fuse"

local FIELDS = {
  { key = "command", title = "Command" },
  { key = "format", title = "Format (jpg, tif, dng, exr, avif)" },
  { key = "options", title = "More options" },
}

local service = {
  hideSections = { "exportLocation", "fileNaming", "postProcessing", "video", "watermarking" },
  allowFileFormats = { "TIFF", "JPEG" },
  allowColorSpaces = { "sRGB", "AdobeRGB" },
  canExportVideo = false,
  exportPresetFields = {
    { key = "command", default = "ghostless" },
    { key = "format", default = "jpg" },
    { key = "options", default = "" },
  },
}

function service.sectionsForTopOfDialog(factory, settings)
  local rows = { title = "Ghostless", bind_to_object = settings }
  for _, field in ipairs(FIELDS) do
    rows[#rows + 1] = factory:row {
      factory:static_text { title = field.title, width_in_chars = 28 },
      factory:edit_field { value = LrView.bind(field.key), width_in_chars = 40 },
    }
  end
  return { rows }
end

-- What was set holds for the menu item too.
local function remember(settings)
  local kept = LrPrefs.prefsForPlugin()
  for _, field in ipairs(FIELDS) do
    kept[field.key] = settings[field.key]
  end
end

function service.processRenderedPhotos(_, context)
  local settings = context.propertyTable
  remember(settings)
  local scope = context:configureProgress { title = "Fusing the bracket" }
  local files, first = {}, nil
  for _, rendition in context:renditions { stopIfCanceled = true } do
    local done, path = rendition:waitForRender()
    if not done then
      LrDialogs.message("Ghostless", tostring(path), "critical")
      return
    end
    files[#files + 1] = path
    first = first or rendition.photo
  end
  if first == nil or scope:isCanceled() then return end
  local original = first:getRawMetadata("path")
  local out = Fuse.freeName(LrPathUtils.parent(original), original, settings.format)
  local problem = Fuse.files(files, out, settings)
  if problem then
    LrDialogs.message("Ghostless", problem, "critical")
    return
  end
  Fuse.bringBack(out, first)
end

return service
