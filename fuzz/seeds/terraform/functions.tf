output "strings" {
  value = [
    lower("AbC"), upper("abc"), title("hello world-x"), trimspace("  a "), trim("?!a?!", "!?"),
    trimprefix("https://x", "https://"), trimsuffix("x/", "/"), startswith("abc", "ab"), endswith("abc", "bc"),
    substr("hello", 1, 3), substr("hello", -3, -1), replace("a-b-c", "-", "_"), replace("v1.22", "/[0-9]+/", "n"),
    join("/", ["a", "b"], ["c"]), join(",", split(",", "a,b,c")), format("%5s|%-5s|%05d|%.2f|%q|%v|%%", "a", "b", 42, 1.5, "c", [1]),
    format("%[2]s-%[1]s", "a", "b"), strrev("abc"), chomp("a\n"), indent(2, "a\nb"), basename("/a/b.json"), dirname("a/b.json"),
    urlencode("a b/é"), base64encode("hello"), base64encode("hell"), jsonencode({ b = 1, a = "<x>" }),
  ]
}

output "numbers" {
  value = [1 + 2 * 3, (1 + 2) * 3, 7 % 3, 7 / 2, -1, max(1, 5, 3), min(4, 2), abs(-1), ceil(1.2), floor(1.8), pow(2, 8),
  parseint("ff", 16), sum([1, 2, 3]), tonumber("12"), length("héllo"), 3600 * 2]
}

output "lists" {
  value = [
    concat([1], [2, 3]), flatten([[1, [2]], [], 3]), distinct(["a", "b", "a"]), sort(["b", "a"]), compact(["a", "", null]),
    coalesce("", null, "x"), coalescelist([], [1]), one(["x"]), element(["a", "b", "c"], 4), range(3), range(1, 10, 4),
    reverse([1, 2]), slice(["a", "b", "c"], 1, 2), contains(["a"], "a"), index(["a", "b"], "b"), chunklist([1, 2, 3], 2),
    setproduct(["a", "b"], [1, 2]), setunion(["a"], ["b", "a"]), setintersection(["a", "b"], ["b"]), setsubtract(["a", "b"], ["a"]),
    tolist(toset(["b", "a", "b"])), alltrue([true, false]), anytrue([true, false]), formatlist("%s!", ["a", "b"]),
    regexall("[a-z]", "1a2b"), [for i, v in ["x", "y"] : "${i}${v}" if v != "x"],
  ]
}

output "maps" {
  value = [
    merge({ a = 1, b = 2 }, { b = 3 }), keys({ b = 1, a = 2 }), values({ b = 1, a = 2 }), lookup({ a = 1 }, "b", "none"),
    zipmap(["a", "b"], [1, 2]), { for k, v in { a = "x", b = "x" } : v => k... }, length({ a = 1 }), { "a.b" : 1, (upper("c")) : 2 },
    regex("(?P<owner>[^/]+)/(?P<name>.+)", "acme/api"), regex("^([a-z]+)-([0-9]+)$", "ab-12"), jsondecode("{\"a\":[1,{\"b\":null}]}").a[0],
  ]
}

output "logic" {
  value = [
    true && !false, false || true, 1 == 1, "1" == 1, [1] == [1], { a = 1 } != { a = 2 }, 1 < 2 ? "less" : "more",
    can(local.nothing.x), try(local.object.absent, "fallback"), tobool("true"), tostring(1.50), null == null,
  ]
}

locals {
  object  = { present = 1 }
  nothing = {}
  names   = ["a", "b"]
}

output "templates" {
  value = <<-EOT
    Hello %{if length(local.names) > 1}all%{else}one%{endif}!
    %{for i, name in local.names~}
    ${i}=${name}
    %{endfor~}
    $${literal} %%{literal}
  EOT
}

output "provider_functions" {
  value = provider::aws::arn_build("aws", "iam", "", "123456789012", "role/x")
}

output "not_evaluated" {
  value = sha256("x")
}
