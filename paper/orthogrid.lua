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

-- Marks. \says leaves a box of no width at the end of its sentence: a sign, and a box with words where it is not as expected.
-- When the paragraph's lines are known, the marks of one line are moved into the margin beside it, in their order.
-- Words that stand there already, or have no room, are left away; their sign stays.
local KIND, SHIFT = luatexbase.registernumber("og@kind"), luatexbase.registernumber("og@shift")
local HLIST, KERN, MM = node.id("hlist"), node.id("kern"), 186468
local GAP, BETWEEN, ROOM, WORDS = 3 * MM, MM, 25 * MM, -1

local function kern(width)
  local new = node.new(KERN, 1)
  new.kern = width
  return new
end

local function without_words(mark)
  for box in node.traverse_id(HLIST, mark.head) do
    if node.has_attribute(box, KIND) == WORDS then
      mark.head = node.remove(mark.head, box)
      return node.flush_node(box)
    end
  end
end

local function into_margin(head)
  for line in node.traverse_id(HLIST, head) do
    local marks, said, taken = {}, {}, 0
    for box in node.traverse_id(HLIST, line.head) do
      if node.has_attribute(box, KIND) then table.insert(marks, box) end
    end
    local row = #marks > 0 and kern(GAP + node.has_attribute(marks[1], SHIFT))
    local last = row
    for _, mark in ipairs(marks) do
      line.head = node.remove(line.head, mark)
      local kind = node.has_attribute(mark, KIND)
      if said[kind] or taken + node.dimensions(mark.head) > ROOM then without_words(mark) end
      said[kind] = true
      mark.width = node.dimensions(mark.head)
      taken = taken + mark.width + BETWEEN
      for _, new in ipairs{ mark, kern(BETWEEN) } do
        last.next, new.prev, new.next = new, last, nil
        last = new
      end
    end
    if row then
      local packed = node.hpack(row)
      packed.width = 0
      line.head = node.insert_after(line.head, node.tail(line.head), packed)
    end
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
