// The package's main file is not a module that Node can import; its other one is, and has the same types.
declare module "wgsl_reflect/wgsl_reflect.module.js" {
  export * from "wgsl_reflect";
}
