-- The Lua side of orthogrid.sty.

-- A user's title or question may be in any script. Its fonts are loaded only where a character asks for them.
local FALLBACK = { "DejaVuSans.ttf", "DroidSansFallbackFull.ttf", "NotoSansCJK-Regular.ttc", "NotoEmoji-Regular.ttf" }

local function foreign(name)
  local file = io.open(name, "rb")
  local text = file and file:read("a") or ""
  if file then file:close() end
  for code in text:gmatch(utf8.charpattern) do
    local point = #code > 1 and utf8.codepoint(code, 1, 1, true) or 0
    if point > 0x17F and (point < 0x2010 or point > 0x203F) then return true end
  end
  return false
end

if foreign("values.tex") or foreign("blocks.tex") then
  local found = {}
  for _, name in ipairs(FALLBACK) do
    if kpse.find_file(name, "truetype fonts") then table.insert(found, "file:" .. name .. ":mode=node;") end
  end
  if #found > 0 then
    luaotfload.add_fallback("anyscript", found)
    token.set_macro("og@any", "RawFeature={fallback=anyscript},")
  end
  -- luaotfload puts the font's blank glyph for what no font holds. A question mark is seen.
  local function visible(head)
    for glyph in node.traverse_glyph(head) do
      if glyph.char == 0xF0000 then glyph.char = 63 end
    end
    return head
  end
  luatexbase.add_to_callback("pre_linebreak_filter", visible, "orthogrid.visible")
  luatexbase.add_to_callback("hpack_filter", visible, "orthogrid.visible")
end

-- The labels of a document beside this one, with S- before them, as \newlabel would set them and with the file's name.
function orthogrid_labels(document)
  local aux = io.open(document .. ".aux", "rb")
  for line in aux and aux:lines() or function() end do
    local name, label = line:match("^\\newlabel(%b{})(%b{})")
    local parts = {}
    for part in (label or ""):sub(2, -2):gmatch("%b{}") do table.insert(parts, part) end
    if parts[5] then -- no label of cleveref's, which knows nothing of titles and files; a title may hold anything
      parts[3], parts[5] = "{}", "{" .. document .. ".pdf}"
    end
    if name then token.set_macro("r@S-" .. name:sub(2, -2), table.concat(parts), "global") end
  end
  if aux then aux:close() end
end

-- Marks. \says leaves a box of no width at the end of its sentence. When the paragraph's lines are known, a mark is moved into
-- the margin beside its line. A second mark of one line goes beside the next line, where that has none.
local SHIFT, HLIST, KERN, MM = luatexbase.registernumber("og@shift"), node.id("hlist"), node.id("kern"), 186468
local GAP = 3 * MM

local function kern(width)
  local new = node.new(KERN, 1)
  new.kern = width
  return new
end

local behind = -1 -- how many lines below the next one the last mark stands; the items of a list are paragraphs of their own

local function into_margin(head)
  local pitch = tex.baselineskip.width
  for line in node.traverse_id(HLIST, head) do
    local marks = {}
    for box in node.traverse_id(HLIST, line.head) do
      if node.has_attribute(box, SHIFT) then table.insert(marks, box) end
    end
    for _, mark in ipairs(marks) do
      behind = behind + 1
      local shift = node.has_attribute(mark, SHIFT)
      line.head = node.remove(line.head, mark)
      mark.prev, mark.next = nil, nil
      local row = kern(GAP + shift)
      row.next, mark.prev = mark, row
      local packed = node.hpack(row)
      packed.width, packed.height, packed.depth, packed.shift = 0, 0, 0, behind * pitch
      line.head = node.insert_after(line.head, node.tail(line.head), packed)
    end
    behind = math.max(behind - 1, -1)
  end
  return head
end

luatexbase.add_to_callback("post_linebreak_filter", into_margin, "orthogrid.into_margin")

-- Termes Math: italic f, j and p reach over their left edge, f over its right, into the space of the words beside a formula;
-- the italic Greek has white on both sides that its Latin letters lack. In inline formulas both are evened out.
local MATH, GLYPH = node.id("math"), node.id("glyph")
local OVER = { [0x1D453] = 0.147, [0x1D457] = 0.124, [0x1D45D] = 0.075 }
local function em(glyph, share)
  return kern(share * font.getfont(glyph.font).size // 1 | 0)
end
local function even(head)
  for glyph in node.traverse_glyph(head) do
    local point, before, after = glyph.char, glyph.prev, glyph.next
    if point >= 0x1D6FC and point <= 0x1D71B then
      if before and before.id == GLYPH then head = node.insert_before(head, glyph, em(glyph, -0.06)) end
      if after and after.id == MATH then head = node.insert_after(head, glyph, em(glyph, -0.06)) end
    elseif OVER[point] and before and before.id == MATH then
      head = node.insert_before(head, glyph, em(glyph, OVER[point]))
    end
    if point == 0x1D453 and after and after.id == MATH then head = node.insert_after(head, glyph, em(glyph, 0.1)) end
  end
  return head
end
luatexbase.add_to_callback("pre_linebreak_filter", even, "orthogrid.even")
